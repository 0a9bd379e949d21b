// The process in which javascript graders run.
//
// Owns how QuickJS is given one program and asked for one number: a runtime of its own for each, with bounded memory, stack and time,
// thrown away afterwards. Only texts go in and only a number or a text comes out; no function of the host is ever shown to a program.

import quickjsVariant from '@jitl/quickjs-wasmfile-release-sync';
import {
  newQuickJSWASMModuleFromVariant,
  type QuickJSContext,
  type QuickJSHandle,
  type QuickJSSyncVariant,
  Scope,
} from 'quickjs-emscripten-core';
import type { SandboxReply, SandboxRequest, SandboxSettings } from './messages.ts';
import { serveSealed, shortened } from './sealed-realm.ts';

const { timeoutMs, memoryBytes }: SandboxSettings = JSON.parse(process.argv[2] ?? '{}');
const { cpuUsage } = process;
// Its types are those of its CommonJS twin, whose default is elsewhere.
const quickjs = await newQuickJSWASMModuleFromVariant(quickjsVariant as unknown as QuickJSSyncVariant);
const maxStackBytes = 256 * 1024;

serveSealed(handle);

function handle(request: SandboxRequest): SandboxReply {
  return Scope.withScope((scope) => {
    const runtime = scope.manage(quickjs.newRuntime());
    runtime.setMemoryLimit(memoryBytes);
    runtime.setMaxStackSize(maxStackBytes);
    const deadlineMs = computedMs() + timeoutMs;
    let isLate = false;
    runtime.setInterruptHandler(() => {
      isLate ||= computedMs() > deadlineMs;
      return isLate;
    });
    const reply = run(scope.manage(runtime.newContext()), request, scope);
    return isLate ? { type: 'late', message: `did not end within ${timeoutMs / 1000} seconds` } : reply;
  });
}

function computedMs(): number {
  const { user, system } = cpuUsage();
  return (user + system) / 1000;
}

function run(context: QuickJSContext, request: SandboxRequest, scope: Scope): SandboxReply {
  // Taken before the program can change it.
  const json = scope.manage(context.unwrapResult(context.evalCode('JSON')));
  const parse = scope.manage(context.getProp(json, 'parse'));
  const defined = scope.manage(context.evalCode(request.source, 'grader.js'));
  if (defined.error) return mistake(context, defined.error, scope);
  const found = scope.manage(context.evalCode('typeof grade === "function" ? grade : undefined', 'grader.js'));
  if (found.error) return mistake(context, found.error, scope);
  if (context.typeof(found.value) !== 'function') {
    return { type: 'mistake', message: 'expected a function grade(sample, item), there is none' };
  }
  if (request.type === 'check') return { type: 'fine', reward: 0 };

  const values: QuickJSHandle[] = [];
  for (const given of [request.sample, request.item]) {
    const text = scope.manage(context.newString(JSON.stringify(given ?? null)));
    const value = scope.manage(context.callFunction(parse, context.undefined, text));
    if (value.error) return mistake(context, value.error, scope);
    values.push(value.value);
  }
  const result = scope.manage(context.callFunction(found.value, context.undefined, ...values));
  return result.error ? mistake(context, result.error, scope) : rewardOf(context, result.value);
}

function rewardOf(context: QuickJSContext, result: QuickJSHandle): SandboxReply {
  const type = context.typeof(result);
  if (type === 'boolean') return { type: 'fine', reward: context.sameValue(result, context.true) ? 1 : 0 };
  if (type !== 'number') return { type: 'mistake', message: `grade: expected a number, got ${type}` };
  const reward = context.getNumber(result);
  return Number.isFinite(reward)
    ? { type: 'fine', reward }
    : { type: 'mistake', message: `grade: expected a finite number, got ${reward}` };
}

/** What was thrown, in words, which are the program's own. */
function mistake(context: QuickJSContext, thrown: QuickJSHandle, scope: Scope): SandboxReply {
  const kind = context.typeof(thrown);
  const text = (name: string): string => {
    const value = kind === 'object' ? scope.manage(context.getProp(thrown, name)) : context.undefined;
    return context.typeof(value) === 'string' ? context.getString(value) : '';
  };
  const [name, message] = [text('name'), text('message')];
  if (message === 'out of memory') return { type: 'memory', message: `took more than ${memoryBytes} bytes of memory` };
  if (message === '' && name === '') {
    const said = kind === 'string' ? context.getString(thrown) : kind;
    return { type: 'mistake', message: shortened(`threw ${said}`) };
  }
  return { type: 'mistake', message: shortened(`${name}: ${message}\n${text('stack')}`.trimEnd()) };
}
