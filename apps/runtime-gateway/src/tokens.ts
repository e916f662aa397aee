/* Injection tokens: NestJS is used without constructor type metadata, so each dependency is named. */
export const CONTEXT = Symbol('ServiceContext');
export const BUS = Symbol('EventBus');
export const RUNTIME = Symbol('RuntimeServiceClient');
export const CRI_VERSIONS = Symbol('CriVersions');
export const OBJECTS_FILE = Symbol('ObjectsFile');
export const METRICS = Symbol('GatewayMetrics');
export const OBSERVER = Symbol('RuntimeObserver');
export const SOCKETS = Symbol('GatewaySockets');
