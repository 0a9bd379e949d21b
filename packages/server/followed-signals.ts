// One controller that aborts with any of several signals.
//
// Owns the listeners on them, and takes them away when it is disposed of. `AbortSignal.any` leaves that to the garbage collector, as
// a weak reference on each source: each answer cost three of them and a tenth of its time in them (bench/gateway.ts).

/** Aborts at once where one has aborted. Once disposed of it follows nobody. */
export function followSignals(...signals: readonly AbortSignal[]): AbortController & Disposable {
  const controller = new AbortController();
  const follow = () => controller.abort(reason);
  for (const signal of signals) {
    if (signal.aborted) follow();
    signal.addEventListener('abort', follow, { once: true });
  }
  return Object.assign(controller, {
    [Symbol.dispose]() {
      for (const signal of signals) signal.removeEventListener('abort', follow);
    },
  });
}

/** Without one, each abort would make an error with a stack of its own. Nobody reads it. */
const reason = 'followed';
