import { connect } from 'nats';

export const open = connect;
