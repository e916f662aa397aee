import { type Server, type Socket } from 'node:net';

export type Connection = Server | Socket;
