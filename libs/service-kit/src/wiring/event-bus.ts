import type { FactoryProvider } from '@nestjs/common';
import { isSocketServed } from '@stowage/cri-endpoint';
import {
  checkEventBus,
  checkStateDir,
  instrumentEventBus,
  openEventBus,
  openEventBusWhenFree,
  type EventBus,
} from '@stowage/event-bus';
import type { ServiceContext } from '../service-context';
import { eventSections } from '../status-page/event-sections';
import { busSettings, type BusConfig } from './bus-settings';
import { observeEventBus } from './observe';
import { provider, type ProviderOptions } from './provider';
import { token, type Token } from './token';

/** The event bus of the service. */
export const BUS = token<EventBus>('EventBus');

/** Time to hand waiting events to NATS at the stop, milliseconds; the rest stays on disk. */
const drainMs = 2000;

/**
 * {@link BUS}: its outbox in the state directory, its metrics, the health component `nats`, its
 * events on the status page; commands are answered on its connection. With the key `takeOver` it
 * waits until the instance that has the outbox gives it up. Whatever serves calls in the meantime
 * stands in `after`, and so does what says best that another process has the state directory.
 */
export function eventBusProvider(
  context: Token<ServiceContext<BusConfig>>,
  { after }: Pick<ProviderOptions<EventBus>, 'after'> = {},
): FactoryProvider<EventBus> {
  return provider(BUS, [context], openBus, {
    after,
    handOver: (bus) => bus.release(),
    close: (bus) => bus.close({ drainMs }),
  });
}

async function openBus(context: ServiceContext<BusConfig>): Promise<EventBus> {
  const { app, config, log, metrics, signal } = context;
  const settings = { ...busSettings(app, config), log };
  const opened =
    config.takeOver === true
      ? await openEventBusWhenFree(settings, { signal })
      : openEventBus(settings);
  const bus = instrumentEventBus(opened, metrics);
  observeEventBus(context, bus);
  context.commands.use(bus);
  context.statusPage.add(eventSections(bus, Date.now));
  return bus;
}

/**
 * For an instance that is about to take over the socket `listen`, before it does: throws what
 * {@link eventBusProvider} would throw for this configuration or this state directory, since
 * nothing may keep it from serving once the other instance has seen its socket taken.
 */
export async function checkBeforeTakeOver({
  app,
  config,
  log,
}: Pick<
  ServiceContext<BusConfig & { readonly listen: string }>,
  'app' | 'config' | 'log'
>): Promise<void> {
  checkEventBus({ ...busSettings(app, config), log });
  if (await isSocketServed(config.listen)) checkStateDir(config.stateDir);
}
