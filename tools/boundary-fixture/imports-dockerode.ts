import Docker from 'dockerode';

export const engine = new Docker();
