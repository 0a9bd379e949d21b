// Amounts as a person reads them.
//
// Owns the units: decimal ones for bytes and parameters, because disks and model names count in them. Text only; knows nothing
// about what is counted.

/** 8_234_567 as `8.2 million`, 1_777_088_000 as `1.8 billion`, 279_096 as `279,096`. */
export function countInWords(count: number): string {
  if (count < 1e6) return count.toLocaleString('en');
  const [unit, name] = count < 999.5e6 ? [1e6, 'million'] : [1e9, 'billion'];
  const amount = count / unit;
  return `${amount.toLocaleString('en', { maximumFractionDigits: amount < 10 ? 1 : 0 })} ${name}`;
}

/** 1_610_612_736 as `1.61 GB`, 20_000 as `20 kB`. */
export function bytesInWords(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let [amount, unit] = [bytes, 0];
  while (amount >= 999.5 && unit < units.length - 1) [amount, unit] = [amount / 1000, unit + 1];
  return `${amount.toFixed(unit === 0 || amount >= 99.95 ? 0 : amount >= 9.995 ? 1 : 2)} ${units[unit]}`;
}

/** 4_000 as `1 h 7 min`. */
export function secondsInWords(seconds: number): string {
  if (seconds < 60) return `${Math.ceil(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
