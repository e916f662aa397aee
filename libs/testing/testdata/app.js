// An app for the tests of spawnApp. MODE: ready, late (healthy before it is ready), crash, deaf (to SIGTERM), numbers
// (pages with content).
const http = require('node:http');

const { MODE, STOWAGE_HTTP_ADDR = '' } = process.env;
console.log(
  JSON.stringify({ level: 'info', msg: 'starting', inherited: process.env.STOWAGE_SPEC }),
);
console.log('not JSON');
if (MODE === 'crash') {
  console.error('STOWAGE_LISTEN: "x" is not a path');
  process.exit(78);
}
let asked = 0;
const [host, port] = STOWAGE_HTTP_ADDR.split(':');
const pages = {
  '/readyz': '{"message":"nats degraded"}',
  '/metrics': '# HELP pulls_total Pulls.\npulls_total{result="success"} 2.5\n',
};
http
  .createServer((request, response) => {
    asked += 1;
    const ready = request.url !== '/readyz' || (MODE !== 'late' && asked > 2);
    response
      .writeHead(ready ? 200 : 503)
      .end(MODE === 'numbers' ? pages[request.url] : request.url);
  })
  .listen(Number(port), host);
process.on('SIGTERM', () => {
  if (MODE !== 'deaf') process.exit(3);
});
