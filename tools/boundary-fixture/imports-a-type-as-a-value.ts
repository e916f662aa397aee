import { Socket } from 'node:net';

export type Connection = Socket;
