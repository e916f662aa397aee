export {
  commandApps,
  commandCatalog,
  commandsOf,
  dockerShim,
  gcWorker,
  imageService,
  runtimeGateway,
  verbsOf,
  type CommandApp,
} from './catalog';
export { checkInput, isFieldName, type InputProblem } from './check-input';
export { checkReply, undocumentedFields } from './check-reply';
export {
  commandLimitMs,
  defaultLimitMs,
  defineCommand,
  type CheckedInput,
  type CommandAnswer,
  type CommandDefinition,
  type CommandInput,
  type CommandReply,
} from './define-command';
export { differenceValues } from './gc-worker/differences';
export { keepRules, removeRules } from './gc-worker/fields';
export { pullPolicies, pullPriorities } from './image-service/ensure';
export { maxReferenceLength } from './image-service/fields';
export { commandSocketPath, serviceInfo, type ServiceInfo } from './service-info';
