import { Ctx, MessagePattern, Payload } from '@nestjs/microservices';
import { PATTERN_EXTRAS_METADATA, PATTERN_METADATA } from '@nestjs/microservices/constants';
import type { CheckedInput, CommandAnswer, CommandDefinition } from '@stowage/commands';
import type { CommandCall } from './types';

/** Extras that the transport reads from a handler. */
export interface CommandExtras {
  readonly command: CommandDefinition;
}

/**
 * A method that fits a command: its input, and a reply with the fields of the contract and no
 * others.
 */
type Handler<C extends CommandDefinition> = (
  input: CheckedInput<C>,
  call: CommandCall,
) => CommandAnswer<C> | Promise<CommandAnswer<C>>;

/**
 * Makes a controller's method the handler of a command: `stowage.cmd.<node>.<app>.<verb>`. It is
 * called with the checked input and the call. That it takes this input and returns the reply of the
 * contract is checked by the compiler, a field that the contract does not name included.
 */
export function Handles<C extends CommandDefinition>(command: C) {
  return <M extends Handler<C>>(
    target: object,
    property: string,
    descriptor: TypedPropertyDescriptor<M> & NothingUndocumented<Awaited<ReturnType<M>>, C>,
  ): void => {
    const extras: CommandExtras = { command };
    MessagePattern(command.verb, extras)(target, property, descriptor);
    Payload()(target, property, 0);
    Ctx()(target, property, 1);
  };
}

type NothingUndocumented<Returned, C extends CommandDefinition> = [
  Undocumented<Returned, CommandAnswer<C>>,
] extends [never]
  ? unknown
  : { readonly 'not in the reply of the command': Undocumented<Returned, CommandAnswer<C>> };

/** Keys of `Returned` at any depth that no form of `Documented` has. */
type Undocumented<Returned, Documented> = unknown extends Documented
  ? never
  : Returned extends readonly (infer Item)[]
    ? Undocumented<Item, ItemOf<Documented>>
    : Returned extends object
      ? {
          [Key in keyof Returned & string]: Key extends KeyOf<Documented>
            ? Undocumented<Returned[Key], ValueOf<Documented, Key>>
            : Key;
        }[keyof Returned & string]
      : never;

type ItemOf<T> = T extends readonly (infer Item)[] ? Item : never;
type KeyOf<T> = T extends object ? keyof T : never;
type ValueOf<T, Key extends string> = T extends object
  ? Key extends keyof T
    ? T[Key]
    : never
  : never;

/** The commands that a controller handles, in the order of its methods. */
export function handledCommands(controller: { prototype: object }): CommandDefinition[] {
  const methods = Object.getOwnPropertyDescriptors(controller.prototype);
  return Object.values(methods).flatMap(({ value }: { value?: unknown }) => {
    if (typeof value !== 'function') return [];
    if (Reflect.getMetadata(PATTERN_METADATA, value) === undefined) return [];
    return [(Reflect.getMetadata(PATTERN_EXTRAS_METADATA, value) as CommandExtras).command];
  });
}
