import {
  Client,
  credentials,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type sendUnaryData,
} from '@grpc/grpc-js';

/*
 * The least that a gRPC service of Node.js in between can do with a pull: each PullImage is one
 * call to the runtime with the same bytes, and its answer the client's. What this adds, everything
 * that is written with @grpc/grpc-js adds.
 *
 *   least-forwarder.ts SOCKET RUNTIME_SOCKET
 */

const [, , socket = '', runtimeSocket = ''] = process.argv;
/** ImageFsInfo is what clients ask first, to see which version is served. */
const methods = ['PullImage', 'ImageFsInfo'];
const asItIs = (bytes: Buffer): Buffer => bytes;

const runtime = new Client(`unix://${runtimeSocket}`, credentials.createInsecure());
const server = new Server();
for (const method of methods) {
  const path = `/runtime.v1.ImageService/${method}`;
  server.addService(
    {
      [method]: {
        path,
        requestStream: false,
        responseStream: false,
        requestSerialize: asItIs,
        requestDeserialize: asItIs,
        responseSerialize: asItIs,
        responseDeserialize: asItIs,
      },
    },
    {
      [method]: (call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>) => {
        runtime.makeUnaryRequest(path, asItIs, asItIs, call.request, answer);
      },
    },
  );
}
server.bindAsync(`unix://${socket}`, ServerCredentials.createInsecure(), (error) => {
  if (error != null) throw error;
});
