// The map of the repository, enforced.
//
// Owns the closed table of layers in docs/architecture.md. Reads sources as text and runs none of them, so that a wrong
// import is reported even when it does not compile.

import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { basename, dirname, join, relative } from 'node:path';
import { test } from 'node:test';

const root = join(import.meta.dirname, '..');

/** A module imports from its own package and from those with a smaller number. */
const layers: Readonly<Record<string, number>> = {
  'packages/kernels': 0,
  'packages/formats': 0,
  'packages/protocol': 0,
  'packages/tensor': 1,
  'packages/store': 1,
  'packages/models': 2,
  'packages/engine': 3,
  'packages/training': 4,
  'packages/server': 4,
  'apps/cli': 5,
};

/** Programs rather than modules: they run before the rest exists, and may read the environment and use scripts/. */
const programs = ['apps/cli/bin.mjs', 'packages/kernels/build.ts'];

interface SourceFile {
  readonly path: string;
  readonly owner: string;
  readonly text: string;
  readonly isTest: boolean;
}

const files = Object.keys(layers).flatMap(sourcesOf);

test('every package and app has a layer, and every layer names an existing folder', () => {
  const folders = ['packages', 'apps'].flatMap((parent) =>
    readdirSync(join(root, parent)).map((name) => `${parent}/${name}`),
  );
  assert.deepEqual(
    folders.filter((folder) => existsSync(join(root, folder, 'package.json'))).sort(),
    Object.keys(layers).sort(),
  );
});

test('a package imports only from lower layers', () => {
  const wrong = files.flatMap((file) =>
    importsOf(file.text)
      .filter((name) => name.startsWith('@hadal/'))
      .map((name) => `packages/${name.split('/')[1]}`)
      .filter((owner) => owner !== file.owner && !(layerOf(owner) < layerOf(file.owner)))
      .map((owner) => `${file.path} (layer ${layerOf(file.owner)}) imports ${owner} (layer ${layerOf(owner)})`),
  );
  assert.deepEqual(wrong, []);
});

test('a relative import stays inside its package', () => {
  const wrong = files
    .filter((file) => !programs.includes(file.path))
    .flatMap((file) =>
      importsOf(file.text)
        .filter((name) => name.startsWith('.'))
        .map((name) => relative(root, join(root, dirname(file.path), name)))
        .filter((target) => !target.startsWith(`${file.owner}/`))
        .map((target) => `${file.path} imports ${target}`),
    );
  assert.deepEqual(wrong, []);
});

test('every library a module imports is a dependency of its package, or of the repository for tests', () => {
  const repository = readJson('package.json').devDependencies ?? {};
  const wrong = files.flatMap((file) => {
    const own = readJson(`${file.owner}/package.json`).dependencies ?? {};
    const declared = file.isTest || programs.includes(file.path) ? { ...own, ...repository } : own;
    return importsOf(file.text)
      .filter((name) => !name.startsWith('.') && !name.startsWith('@hadal/') && !isBuiltin(name))
      .map(libraryOf)
      .filter((library) => !Object.hasOwn(declared, library))
      .map((library) => `${file.path} imports ${library}`);
  });
  assert.deepEqual(wrong, []);
});

test('protocol runs in a browser: its modules import nothing from Node', () => {
  const wrong = files
    .filter((file) => file.owner === 'packages/protocol' && !file.isTest)
    .flatMap((file) =>
      importsOf(file.text)
        .filter(isBuiltin)
        .map((name) => `${file.path} imports ${name}`),
    );
  assert.deepEqual(wrong, []);
});

test('only apps and programs read the environment', () => {
  const wrong = files
    .filter((file) => file.owner.startsWith('packages/') && !file.isTest && !programs.includes(file.path))
    .filter((file) => withoutComments(file.text).includes('process.env'))
    .map((file) => file.path);
  assert.deepEqual(wrong, []);
});

test('no file or folder is named after having no subject', () => {
  const vague = new Set(['common', 'shared', 'core', 'util', 'utils', 'helper', 'helpers', 'misc', 'index']);
  const wrong = files
    .map((file) => file.path)
    .filter((path) => path.split('/').some((part) => vague.has(basename(part).split('.')[0] ?? '')));
  assert.deepEqual(wrong, []);
});

test('every module opens with what it owns', () => {
  const wrong = files.filter((file) => !file.isTest && !/^(#!.*\n)?\/\//.test(file.text)).map((file) => file.path);
  assert.deepEqual(wrong, []);
});

test('imports are found wherever they can stand', () => {
  const source = `
    import a from 'one';
    import {
      b,
    } from "two/part";
    import type { C } from '@hadal/three/c';
    export { d } from './four.ts';
    import 'five';
    const six = await import('six');
    // import e from 'seven';
    /* from 'eight' */
    type F = import('nine').F;
    const notes = { from: 'ten', text: "taken from 'eleven'" };`;
  assert.deepEqual(importsOf(source), ['one', 'two/part', '@hadal/three/c', './four.ts', 'five', 'six', 'nine']);
});

function sourcesOf(owner: string): SourceFile[] {
  return readdirSync(join(root, owner), { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.(ts|tsx|mjs)$/.test(name) && !/(^|\/)(node_modules|build)\//.test(name))
    .map((name) => {
      const path = join(owner, name);
      return {
        path,
        owner,
        text: readFileSync(join(root, path), 'utf8'),
        isTest: name.endsWith('.test.ts') || path.includes('/testing/'),
      };
    });
}

function importsOf(text: string): string[] {
  const statement = /^[ \t]*(?:import|export)\b[^'"`;=()]*?\bfrom\s*['"]([^'"\n]+)['"]/gm;
  const sideEffect = /^[ \t]*import\s*['"]([^'"\n]+)['"]/gm;
  const dynamic = /\bimport\(\s*['"]([^'"\n]+)['"]/g;
  const source = withoutComments(text);
  return [statement, sideEffect, dynamic].flatMap((pattern) => [...source.matchAll(pattern)].map((match) => match[1]!));
}

function withoutComments(text: string): string {
  return text.replaceAll(/\/\*[\s\S]*?\*\/|(?<!:)\/\/.*$/gm, '');
}

function layerOf(owner: string): number {
  return layers[owner] ?? Number.POSITIVE_INFINITY;
}

function isBuiltin(name: string): boolean {
  return name.startsWith('node:') || builtinModules.includes(name);
}

function libraryOf(name: string): string {
  return name
    .split('/')
    .slice(0, name.startsWith('@') ? 2 : 1)
    .join('/');
}

function readJson(path: string): {
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
} {
  return JSON.parse(readFileSync(join(root, path), 'utf8'));
}
