import { tracingSettings } from './settings';

const endpoint = 'http://collector:4318';

describe('what the environment says about traces', () => {
  it.each<[string, Record<string, string>]>([
    ['nothing is said', {}],
    ['the endpoint is empty', { OTEL_EXPORTER_OTLP_ENDPOINT: ' ' }],
    ['the SDK is off', { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_SDK_DISABLED: 'true' }],
    ['no exporter', { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_TRACES_EXPORTER: 'none' }],
    ['another one', { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_TRACES_EXPORTER: 'zipkin' }],
  ])('no span leaves the process when %s', (_what, env) => {
    expect(tracingSettings(env)).toEqual({ notes: [] });
  });

  it.each<[string, Record<string, string>, string]>([
    ['of all signals', { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint }, endpoint],
    [
      'of traces, which wins',
      {
        OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'https://t/v1/traces',
      },
      'https://t/v1/traces',
    ],
    [
      'that holds secrets',
      { OTEL_EXPORTER_OTLP_ENDPOINT: 'https://user:hunter2@c/otlp?key=hunter2' },
      'https://c/otlp',
    ],
    [
      'with the exporter named',
      { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_TRACES_EXPORTER: 'console, otlp' },
      endpoint,
    ],
  ])('spans go to the endpoint %s', (_what, env, shown) => {
    expect(tracingSettings(env)).toEqual({ endpoint: shown, notes: [] });
  });

  it.each(['hunter2', 'ftp://hunter2', 'unix:///run/hunter2.sock'])(
    'says that %s is no endpoint, without quoting it',
    (text) => {
      expect(tracingSettings({ OTEL_EXPORTER_OTLP_ENDPOINT: text })).toEqual({
        notes: ['no traces: OTEL_EXPORTER_OTLP_ENDPOINT is not an http or https URL'],
      });
    },
  );

  it('says that another protocol is not spoken', () => {
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' };
    expect(tracingSettings(env).notes).toEqual([
      'OTEL_EXPORTER_OTLP_PROTOCOL is "grpc"; spans are sent as http/json, which collectors take on the port of http/protobuf (4318)',
    ]);
    expect(
      tracingSettings({ ...env, OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: 'http/json' }).notes,
    ).toEqual([]);
  });
});
