export { criHandlers } from './cri-handlers';
export { serveCri, type ServeCriOptions } from './serve-cri';
export type {
  CriCall,
  CriMethod,
  CriServiceDefinition,
  CriStreamCall,
  Implementation,
  MethodHandler,
} from './types';
