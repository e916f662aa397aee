import { connect } from 'net';

export const open = connect;
