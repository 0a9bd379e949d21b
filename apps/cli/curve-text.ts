// A curve in a terminal.
//
// Owns how numbers become rows of block characters, eight levels to a row. Knows nothing of what they measure.

const blocks = ' ▁▂▃▄▅▆▇█';

export interface Point {
  readonly x: number;
  readonly y: number;
}

/** `width` columns and `height` rows, with the bounds written beside them. Each column shows the mean of its points. */
export function curveText(points: readonly Point[], width: number, height: number): string {
  const finite = points.filter(({ x, y }) => Number.isFinite(x) && Number.isFinite(y));
  const [first, last] = [finite[0], finite.at(-1)];
  if (first === undefined || last === undefined) return '';
  const columns = columnsOf(finite, first.x, last.x, Math.min(width, finite.length));
  const [low, high] = [Math.min(...columns), Math.max(...columns)];
  const levels = columns.map((y) => 1 + Math.round(((y - low) / (high - low || 1)) * (8 * height - 1)));
  const labels = [boundText(high), boundText(low)];
  const margin = Math.max(...labels.map(({ length }) => length));
  const rows = Array.from({ length: height }, (_, row) => {
    const below = 8 * (height - 1 - row);
    const label = row === 0 ? labels[0] : row === height - 1 ? labels[1] : '';
    const line = levels.map((level) => blocks[Math.max(0, Math.min(8, level - below))]).join('');
    return `${(label ?? '').padStart(margin)} ${line}`.trimEnd();
  });
  const [from, to] = [String(first.x), String(last.x)];
  const axis = `${from}${to.padStart(Math.max(1 + to.length, columns.length - from.length))}`;
  return `${[...rows, `${' '.repeat(margin + 1)}${axis}`].join('\n')}\n`;
}

function columnsOf(points: readonly Point[], from: number, to: number, count: number): number[] {
  const columns: number[] = [];
  for (let i = 0; i < count; i++) {
    const [left, right] = [from + ((to - from) * i) / count, from + ((to - from) * (i + 1)) / count];
    const some = points.filter(({ x }) => x >= left && (x < right || i === count - 1));
    const before = columns.at(-1) ?? points[0]?.y ?? 0;
    columns.push(some.length === 0 ? before : some.reduce((sum, { y }) => sum + y, 0) / some.length);
  }
  return columns;
}

function boundText(value: number): string {
  return String(Number(value.toPrecision(3)));
}
