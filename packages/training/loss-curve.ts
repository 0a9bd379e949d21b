// The loss of a run as a picture.
//
// Owns the SVG that a model card shows: loss over tokens, smoothed, one line for the model and one for its predictor,
// with the stages marked. Plain SVG of our own: three lines and two axes need no library.

import type { Metrics } from './run-directory.ts';

const [width, height] = [720, 300];
const plot = { left: 48, right: 16, top: 16, bottom: 36 };

export function lossCurve(metrics: readonly Metrics[]): string {
  const last = metrics.at(-1);
  if (!last) return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}"/>\n`;
  const losses = metrics.flatMap(({ loss, predictorLoss }) => [loss, ...(predictorLoss ? [predictorLoss] : [])]);
  const top = Math.max(...losses);
  const x = (tokens: number) => plot.left + (tokens / last.tokens) * (width - plot.left - plot.right);
  const y = (loss: number) => height - plot.bottom - (loss / top) * (height - plot.top - plot.bottom);
  const line = (value: (m: Metrics) => number | undefined, color: string) => {
    const points = smoothed(metrics, value).map(({ tokens, loss }) => `${x(tokens).toFixed(1)},${y(loss).toFixed(1)}`);
    return `<polyline fill="none" stroke="${color}" stroke-width="1.5" points="${points.join(' ')}"/>`;
  };
  const tick = (loss: number) =>
    `<line x1="${plot.left}" x2="${width - plot.right}" y1="${y(loss)}" y2="${y(loss)}" stroke="#ddd"/>` +
    `<text x="${plot.left - 6}" y="${y(loss) + 4}" text-anchor="end">${loss}</text>`;
  const ticks = Array.from({ length: Math.floor(top) + 1 }, (_, loss) => tick(loss));
  const stages = metrics.filter((m, i) => i > 0 && m.stage !== metrics[i - 1]?.stage);
  const marks = stages.map(
    ({ tokens, stage }) =>
      `<line x1="${x(tokens)}" x2="${x(tokens)}" y1="${plot.top}" y2="${height - plot.bottom}" stroke="#999" stroke-dasharray="3"/>` +
      `<text x="${x(tokens) + 4}" y="${plot.top + 10}">${stage}</text>`,
  );
  const millions = (last.tokens / 1e6).toFixed(1);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="11">`,
    `<rect width="${width}" height="${height}" fill="white"/>`,
    ...ticks,
    ...marks,
    line((m) => m.predictorLoss, '#9ab'),
    line((m) => m.loss, '#136'),
    `<text x="${width - plot.right}" y="${height - 12}" text-anchor="end">${millions} million tokens</text>`,
    `<text x="${plot.left}" y="${height - 12}">loss in nats per supervised token; grey: multi-token prediction</text>`,
    '</svg>\n',
  ].join('\n');
}

/** Means over stretches of the run, so that some 300 points remain. */
function smoothed(metrics: readonly Metrics[], value: (m: Metrics) => number | undefined) {
  const stretch = Math.max(1, Math.floor(metrics.length / 300));
  const points: { tokens: number; loss: number }[] = [];
  for (let i = 0; i < metrics.length; i += stretch) {
    const part = metrics.slice(i, i + stretch);
    const values = part.map(value).filter((v) => v !== undefined);
    const tokens = part.at(-1)?.tokens ?? 0;
    if (values.length > 0) points.push({ tokens, loss: values.reduce((sum, v) => sum + v, 0) / values.length });
  }
  return points;
}
