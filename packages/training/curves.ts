// Measurements as a picture.
//
// Owns the SVG of a few lines over a common axis: what a reader of docs/ is shown of a run. Plain SVG of our own: lines and two axes
// need no library. Knows nothing of what is measured.

export interface Series {
  readonly name: string;
  readonly points: readonly (readonly [x: number, y: number])[];
}

export interface CurvesOptions {
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  /** Points that are averaged, the last of them at its place; 1 shows them as they are. */
  readonly window?: number;
}

const [width, height] = [720, 320];
const plot = { left: 56, right: 150, top: 34, bottom: 42 };
const colors = ['#136', '#c52', '#295', '#929', '#a80', '#579'];

export function curves(series: readonly Series[], { title, xLabel, yLabel, window = 1 }: CurvesOptions): string {
  const shown = series.map(({ name, points }) => ({ name, points: smoothed(points, window) }));
  const all = shown.flatMap(({ points }) => points);
  const [xEnd, yEnd] = [Math.max(1e-9, ...all.map(([x]) => x)), ceiling(Math.max(1e-9, ...all.map(([, y]) => y)))];
  const x = (value: number) => plot.left + (value / xEnd) * (width - plot.left - plot.right);
  const y = (value: number) => height - plot.bottom - (value / yEnd) * (height - plot.top - plot.bottom);
  const text = (at: readonly [number, number], content: string, anchor = 'start') =>
    `<text x="${at[0].toFixed(1)}" y="${at[1].toFixed(1)}" text-anchor="${anchor}">${escaped(content)}</text>`;
  const yTicks = Array.from({ length: 6 }, (_, i) => (yEnd * i) / 5);
  const xTicks = Array.from({ length: 6 }, (_, i) => (xEnd * i) / 5);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="11">`,
    `<title>${escaped(title)}</title>`,
    `<rect width="${width}" height="${height}" fill="white"/>`,
    `<text x="${plot.left}" y="18" font-size="13">${escaped(title)}</text>`,
    ...yTicks.map(
      (tick) =>
        `<line x1="${plot.left}" x2="${width - plot.right}" y1="${y(tick).toFixed(1)}" y2="${y(tick).toFixed(1)}" stroke="#ddd"/>` +
        text([plot.left - 6, y(tick) + 4], short(tick), 'end'),
    ),
    ...xTicks.map((tick) => text([x(tick), height - plot.bottom + 16], short(tick), 'middle')),
    ...shown.map(({ points }, i) => {
      const line = points.map(([px, py]) => `${x(px).toFixed(1)},${y(py).toFixed(1)}`).join(' ');
      return `<polyline fill="none" stroke="${colors[i % colors.length]}" stroke-width="1.6" points="${line}"/>`;
    }),
    ...shown.map(({ name }, i) => {
      const at = plot.top + 12 + i * 18;
      const color = colors[i % colors.length];
      const from = width - plot.right + 10;
      return (
        `<line x1="${from}" x2="${from + 16}" y1="${at - 4}" y2="${at - 4}" stroke="${color}" stroke-width="2"/>` +
        text([from + 22, at], name)
      );
    }),
    text([(plot.left + width - plot.right) / 2, height - 8], xLabel, 'middle'),
    `<text transform="translate(14 ${(plot.top + height - plot.bottom) / 2}) rotate(-90)" text-anchor="middle">${escaped(yLabel)}</text>`,
    '</svg>\n',
  ].join('\n');
}

/** Means of `window` points each. */
function smoothed(points: Series['points'], window: number): Series['points'] {
  return points.map(([x], i) => {
    const part = points.slice(Math.max(0, i + 1 - window), i + 1);
    return [x, part.reduce((sum, [, y]) => sum + y, 0) / part.length];
  });
}

/** The next number of one or two round digits. */
function ceiling(value: number): number {
  const unit = 10 ** Math.floor(Math.log10(value));
  return ([1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].find((factor) => factor * unit >= value) ?? 10) * unit;
}

function short(value: number): string {
  return String(Number(value.toPrecision(3)));
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
