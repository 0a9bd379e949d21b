// One model on many kinds of hardware.
//
// Owns the table: for each kind of card the smallest fleet that does what is asked, and what it costs. Prices are one provider's
// list on one day, with its source; they move, so a person's own come before them and a card without one has none.

import {
  type DeploymentPlan,
  type DeploymentRequest,
  fleetSizes,
  planDeployment,
} from '@hadal/models/deployment/deployment-plan';
import { findGpu, type Gpu, gpus } from '@hadal/models/deployment/gpu-fleet';
import { kernelDoubt } from './plan-report.ts';

/** Dollars for one GPU and one hour, on demand. */
export type Prices = ReadonlyMap<string, number>;

export const listedPrices = {
  source: 'runpod.io/pricing, on demand, as read on 2026-10-07',
  perHour: new Map([
    ['B300', 7.89],
    ['B200', 6.79],
    ['H200', 4.59],
    ['H100', 3.49],
    ['A100-80G', 1.59],
  ]) as Prices,
} as const;

export interface ComparisonRow {
  readonly gpu: Gpu;
  readonly plan: DeploymentPlan | undefined;
  readonly dollarsPerHour: number | undefined;
  /** Why the card may not do in spite of its memory. */
  readonly doubt: string | undefined;
}

const gpusPerNode = 8;

/** Cheapest first, then those without a price, then those that are in doubt or that nothing helps. */
export function compareHardware(request: Omit<DeploymentRequest, 'fleet'>, prices: Prices): ComparisonRow[] {
  // The same for all: each with as much as it can have would be no comparison.
  const wished = { ...request, context: request.context ?? request.model.contextLength };
  const rows = gpus.map((gpu): ComparisonRow => {
    const plan = smallestPlan(wished, gpu);
    const price = prices.get(gpu.name);
    const dollarsPerHour = plan && price !== undefined ? price * plan.request.fleet.count : undefined;
    return { gpu, plan, dollarsPerHour, doubt: kernelDoubt(request, gpu) };
  });
  const rank = ({ plan, dollarsPerHour, doubt }: ComparisonRow) =>
    plan && !doubt ? (dollarsPerHour ?? Number.MAX_VALUE) : Number.POSITIVE_INFINITY;
  return rows.sort((a, b) => (rank(a) === rank(b) ? 0 : rank(a) - rank(b)));
}

function smallestPlan(request: Omit<DeploymentRequest, 'fleet'>, gpu: Gpu): DeploymentPlan | undefined {
  for (const count of fleetSizes(gpusPerNode)) {
    const plan = planDeployment({ ...request, fleet: { gpu, count, perNode: gpusPerNode } });
    if (plan.kind === 'fits') return plan;
  }
  return undefined;
}

/** Reads `A100-80G=1.9`; throws one line otherwise. */
export function parsePrice(text: string): { readonly name: string; readonly dollars: number } {
  const [name = '', amount = ''] = text.split('=');
  const dollars = Number(amount);
  if (amount.trim() === '' || !(dollars >= 0 && Number.isFinite(dollars))) {
    throw new Error(`expected a price such as A100-80G=1.9, got "${text}"`);
  }
  return { name: findGpu(name).name, dollars };
}
