// Plain JavaScript beside the script that prints the same, which runs where nothing is installed.
// eslint-disable-next-line @nx/enforce-module-boundaries -- no project has it
export {
  consumerRole,
  operatorRole,
  serverConfig,
  serviceRole,
  type Role,
} from '../../../../deploy/nats/roles.cjs';
