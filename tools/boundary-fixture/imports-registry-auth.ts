import { Keyring } from '@stowage/registry-auth';

export const keyring = Keyring;
