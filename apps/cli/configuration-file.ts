// The configuration file of this machine.
//
// Owns which file is meant: the one that is named, or else `hadal.yaml` in HADAL_HOME, which need not be there. What can stand
// in it is the server's.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Configuration, defaultConfiguration, parseConfiguration } from '@hadal/server/configuration';
import { dataDirectory } from './data-directory.ts';

export function configurationPath(named: string | undefined): string {
  return named ?? join(dataDirectory(), 'hadal.yaml');
}

/** Throws an Error with a line for every mistake. */
export function readConfiguration(named: string | undefined): Configuration {
  const path = configurationPath(named);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (named === undefined && code === 'ENOENT') return defaultConfiguration;
    throw new Error(`${path}: expected a configuration file (${message})`);
  }
  return parseConfiguration(text, path);
}
