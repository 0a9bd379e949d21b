// The configuration, read again by a running server.
//
// Owns what becomes of a file that has changed: it holds as a whole, or not at all where anything in it is wrong; what only a start
// can change is named. Knows neither where the file lies nor what a server does with it.

import { type Configuration, settingsForStart } from '@hadal/server/configuration';
import type { Logger } from '@hadal/server/logger';

export interface ReloadParts {
  /** Throws an Error with a line for each mistake. */
  readonly read: () => Configuration;
  /** Throws an Error, and changes nothing, where the configuration does not fit what is loaded. */
  readonly apply: (configuration: Configuration) => void;
  readonly logger: Logger;
}

/** `started`: what the server was started with. */
export function configurationReload(started: Configuration, { read, apply, logger }: ReloadParts): () => void {
  return () => {
    let configuration: Configuration;
    try {
      configuration = read();
      apply(configuration);
    } catch (error) {
      const mistakes = error instanceof Error ? error.message.split('\n') : [String(error)];
      logger.error({ mistakes }, 'configuration refused, the one before stays');
      return;
    }
    const settings = settingsForStart(started, configuration);
    if (settings.length > 0) logger.warn({ settings }, 'configuration changed where it needs a restart');
    logger.info({ models: configuration.models.map(({ id }) => id) }, 'configuration read again');
  };
}
