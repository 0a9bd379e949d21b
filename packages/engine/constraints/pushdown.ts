// The pushdown automaton that reads a grammar's bytes, several ways at once where the grammar is ambiguous.
//
// Owns positions: everything that may follow at one place of the text. Stacks are shared and never change (a frame points to
// the sets of frames below it, as in GLR parsing), and equal positions are one object, so going back costs nothing and
// what was computed for a position is found again. Knows nothing of tokens. Memory is bounded: when the table of known
// positions is full it is dropped, and everything in use stays valid.

import { edgesOf, stateCount, step } from './dfa.ts';
import { type Rule, reachableRules } from './rule.ts';

/** Where a called rule goes on when it is done; without a rule, the end of everything. */
interface Frame {
  readonly rule: Rule | undefined;
  readonly state: number;
  readonly below: Stack | undefined;
}

/** All the ways on from the end of a rule. */
export interface Stack {
  readonly id: number;
  readonly frames: readonly Frame[];
  /** Where its frames lead, once computed. */
  popped: Position | undefined;
}

export interface Configuration {
  readonly rule: Rule;
  readonly state: number;
  readonly stack: Stack;
}

/** All the ways to go on at one place. Those that have no byte to read are left out. */
export interface Position {
  readonly configurations: readonly Configuration[];
  /** Whether everything may end here. */
  readonly isEnd: boolean;
  /** The slice of which `runLength` characters can be read next, one as well as another, or -1. */
  readonly slice: number;
  readonly runLength: number;
  /** Successors by byte, as far as they are known; empty until the first is asked for. */
  next: (Position | undefined)[];
}

/** Positions that one automaton remembers, some 3 KB each. */
const maxPositions = 2048;

export class Pushdown {
  /** The place that no text reaches. */
  readonly dead: Position = { configurations: [], isEnd: false, slice: -1, runLength: 0, next: [] };
  readonly start: Position;
  /** Numbers for (rule, state): a rule's first number, by rule. */
  readonly #numbers = new Map<Rule, number>();
  readonly #shapes = new Map<Rule, Uint8Array>();
  readonly #bottom: Stack;
  #positions = new Map<string, Position>();
  #stacks = new Map<string, Stack>();
  #stackCount = 0;

  constructor(root: Rule) {
    let total = 0;
    for (const rule of reachableRules(root)) {
      this.#numbers.set(rule, total);
      this.#shapes.set(rule, shapesOf(rule));
      total += stateCount(rule.dfa);
    }
    this.#bottom = this.#stack([{ rule: undefined, state: 0, below: undefined }]);
    this.start = this.#close([{ rule: root, state: 0, stack: this.#bottom }]);
  }

  /** The position after one more byte; `dead` when it cannot follow. */
  step(position: Position, byte: number): Position {
    const known = position.next[byte];
    if (known) return known;
    const moved: Configuration[] = [];
    for (const { rule, state, stack } of position.configurations) {
      const target = step(rule.dfa, state, byte);
      if (target >= 0) moved.push({ rule, state: target, stack });
      else if (this.#shapes.get(rule)![state]! & readsCharacters) this.#begin(rule, state, stack, byte, moved);
    }
    const next = moved.length === 0 ? this.dead : this.#close(moved);
    // Of full length at once: it is read for every byte of every token.
    if (position.next.length === 0) position.next = new Array(256).fill(undefined);
    position.next[byte] = next;
    return next;
  }

  /** Reads the first byte of the characters that a state calls for. */
  #begin(rule: Rule, state: number, stack: Stack, byte: number, moved: Configuration[]): void {
    for (const [from, to, after] of edgesOf(rule.dfa, state)) {
      for (let symbol = Math.max(256, from); symbol <= to; symbol++) {
        const called = rule.calls[symbol - 256]!;
        const target = called.isCharacter ? step(called.dfa, 0, byte) : -1;
        if (target < 0) continue;
        moved.push({ rule: called, state: target, stack: this.#stack([{ rule, state: after, below: stack }]) });
      }
    }
  }

  /** The position where only `rule`, begun at `state`, is read, and everything ends with it. */
  alone(rule: Rule, state: number): Position {
    return this.#position([{ rule, state, stack: this.#bottom }], false);
  }

  /** The position after the rule on top has come to its end. */
  pop(stack: Stack): Position {
    if (stack.popped === undefined) {
      const isEnd = stack.frames.some(({ rule }) => rule === undefined);
      const returned = stack.frames.flatMap(({ rule, state, below }) =>
        rule && below ? [{ rule, state, stack: below }] : [],
      );
      stack.popped = this.#close(returned, isEnd);
    }
    return stack.popped;
  }

  /** Follows calls and returns until every way is at a byte. */
  #close(begun: readonly Configuration[], isEndAlready = false): Position {
    const seen = new Set<string>();
    const framesByState = new Map<number, { rule: Rule; state: number; stacks: Stack[] }>();
    let isEnd = isEndAlready;
    const visit = (rule: Rule, state: number, stack: Stack) => {
      const number = this.#numbers.get(rule)! + state;
      const name = `${number},${stack.id}`;
      if (seen.has(name)) return;
      seen.add(name);
      const { dfa } = rule;
      const shape = this.#shapes.get(rule)![state]!;
      if (dfa.accepting[state] === 1) {
        for (const frame of stack.frames) {
          if (frame.rule && frame.below) visit(frame.rule, frame.state, frame.below);
          else isEnd = true;
        }
      }
      if (shape & (readsBytes | readsCharacters)) {
        const entry = framesByState.get(number);
        if (entry) entry.stacks.push(stack);
        else framesByState.set(number, { rule, state, stacks: [stack] });
      }
      if (!(shape & makesCalls)) return;
      for (let e = dfa.first[state]!; e < dfa.first[state + 1]!; e++) {
        for (let symbol = Math.max(256, dfa.from[e]!); symbol <= dfa.to[e]!; symbol++) {
          const called = rule.calls[symbol - 256]!;
          if (called.isCharacter) continue;
          const after = dfa.target[e]!;
          // Nothing is left to do after the last call of a rule: it returns where the rule itself would.
          const isLast = this.#shapes.get(rule)![after] === 0;
          const above = isLast ? stack : this.#stack([{ rule, state: after, below: stack }]);
          visit(called, 0, above);
        }
      }
    };
    for (const { rule, state, stack } of begun) visit(rule, state, stack);
    const configurations = [...framesByState.values()].map(({ rule, state, stacks }) => ({
      ...{ rule, state },
      stack: stacks.length === 1 ? stacks[0]! : this.#stack(stacks.flatMap(({ frames }) => frames)),
    }));
    return this.#position(configurations, isEnd);
  }

  #position(configurations: readonly Configuration[], isEnd: boolean): Position {
    const names = configurations.map(({ rule, state, stack }) => `${this.#numbers.get(rule)! + state},${stack.id}`);
    const key = `${isEnd ? 'end;' : ''}${names.sort().join(';')}`;
    let position = this.#positions.get(key);
    if (position === undefined) {
      if (this.#positions.size >= maxPositions) this.#forget();
      const only = configurations.length === 1 && !isEnd ? configurations[0] : undefined;
      position = { configurations, isEnd, ...runAt(only), next: [] };
      this.#positions.set(key, position);
    }
    return position;
  }

  /** The stack of these frames, without repetitions. */
  #stack(frames: readonly Frame[]): Stack {
    const named = new Map(
      frames.map((frame) => [
        frame.rule ? `${this.#numbers.get(frame.rule)! + frame.state},${frame.below!.id}` : '',
        frame,
      ]),
    );
    const key = [...named.keys()].sort().join(';');
    let stack = this.#stacks.get(key);
    if (stack === undefined) {
      stack = { id: this.#stackCount++, frames: [...named.values()], popped: undefined };
      this.#stacks.set(key, stack);
    }
    return stack;
  }

  /** Cuts what is remembered loose, so that only what somebody still holds stays in memory. */
  #forget(): void {
    for (const position of this.#positions.values()) position.next = [];
    for (const stack of this.#stacks.values()) stack.popped = undefined;
    this.#positions = new Map();
    this.#stacks = new Map();
    this.#stacks.set('', this.#bottom);
  }
}

/** The run at a place; inside of a character, the one after it. */
function runAt(only: Configuration | undefined): Pick<Position, 'slice' | 'runLength'> {
  const place = only?.rule.isCharacter && only.stack.frames.length === 1 ? only.stack.frames[0]! : only;
  const runs = place?.rule?.runs;
  return { slice: runs?.slice[place!.state] ?? -1, runLength: runs?.length[place!.state] ?? 0 };
}

/** What a state does besides accepting; 0: nothing. */
const readsBytes = 1;
const makesCalls = 2;
const readsCharacters = 4;

function shapesOf({ dfa, calls }: Rule): Uint8Array {
  return Uint8Array.from({ length: stateCount(dfa) }, (_, state) => {
    let shape = 0;
    for (const [from, to] of edgesOf(dfa, state)) {
      if (from < 256) shape |= readsBytes;
      for (let symbol = Math.max(256, from); symbol <= to; symbol++) {
        shape |= calls[symbol - 256]!.isCharacter ? readsCharacters : makesCalls;
      }
    }
    return shape;
  });
}
