// The slices of one or two runs by the same columns, as columns of equal length that the view sorts and filters.

const collator = new Intl.Collator('en', { numeric: true, sensitivity: 'base' });

// Missing values come last, then numbers before texts.
function compareValues(a, b) {
  if (a === null || b === null) return (a === null) - (b === null);
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  return collator.compare(String(a), String(b));
}

class Slices {
  constructor(set, otherSet) {
    this.columns = set.columns;
    this.sets = [set, otherSet];
    this.numLeftOut = set.num_left_out;
    this.join();
    this.ranks = new Map();
    this.found = new Map();
  }

  // Which row of each run's set a slice is; -1 where a run has no such slice.
  join() {
    const [set, other] = this.sets;
    const own = set.num_rows.map((_, i) => i);
    const theirs = new Array(own.length).fill(-1);
    if (other) {
      const keyOf = (found, i) => JSON.stringify(found.values.map((column) => column[i]));
      const places = new Map(own.map((i) => [keyOf(set, i), i]));
      for (let i = 0; i < other.num_rows.length; i += 1) {
        const place = places.get(keyOf(other, i));
        if (place !== undefined) theirs[place] = i;
        else { own.push(-1); theirs.push(i); }
      }
    }
    this.places = [own, theirs];
    this.length = own.length;
    this.numOwn = set.num_rows.length;
    this.keys = set.values.map((_, c) => own.map((i, at) => (i >= 0 ? set.values[c][i] : other.values[c][theirs[at]])));
    this.rows = this.places.map((places, run) => places.map((i) => (i >= 0 ? this.sets[run].num_rows[i] : null)));
    this.sizes = Float64Array.from(this.rows[0], (rows, at) => rows ?? this.rows[1][at]);
    this.texts = own.map((_, at) => this.keys.map((column) => valueText(column[at])).join('\n').toLowerCase());
  }

  // One number a slice: `end` is value, low, high or constant; NaN where there is none.
  numbers(metric, end = 'value', run = 0) {
    const name = `${run} ${end} ${metric}`;
    if (!this.found.has(name)) {
      const source = this.sets[run]?.metrics[metric]?.[end];
      this.found.set(name, Float64Array.from(this.places[run], (i) => (source && i >= 0 ? source[i] ?? NaN : NaN)));
    }
    return this.found.get(name);
  }

  // This run's value less the other's.
  differences(metric) {
    const name = `difference ${metric}`;
    if (!this.found.has(name)) {
      const [own, theirs] = [this.numbers(metric), this.numbers(metric, 'value', 1)];
      this.found.set(name, own.map((value, i) => value - theirs[i]));
    }
    return this.found.get(name);
  }

  // Rows times how much worse they are than all rows together, NaN where either is not told.
  harm(metric, overall) {
    const name = `harm ${metric.name}`;
    if (!this.found.has(name)) {
      const sign = metric.higher_is_better ? -1 : 1;
      this.found.set(name, this.numbers(metric.name).map((value, i) => sign * (value - (overall ?? NaN)) * (this.rows[0][i] ?? NaN)));
    }
    return this.found.get(name);
  }

  // The place of each slice in the order of a slicing column: sorting texts once is slow enough.
  ranksOf(column) {
    if (!this.ranks.has(column)) {
      const values = this.keys[column];
      const distinct = [...new Set(values)].sort(compareValues);
      const places = new Map(distinct.map((value, place) => [value, value === null ? NaN : place]));
      this.ranks.set(column, Float64Array.from(values, (value) => places.get(value)));
    }
    return this.ranks.get(column);
  }

  // Slices of at least so many rows.
  largerThan(smallest) {
    const kept = [];
    for (let i = 0; i < this.length; i += 1) if (this.sizes[i] >= smallest) kept.push(i);
    return kept;
  }

  // Of some slices those whose values contain all words of a text.
  containing(indices, text) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    return words.length ? indices.filter((i) => words.every((word) => this.texts[i].includes(word))) : indices;
  }
}

// All slices in the order of some numbers, sorted once; what has no number comes last either way.
const orders = { ascending: new WeakMap(), descending: new WeakMap() };

function orderOf(numbers, descending) {
  const kept = descending ? orders.descending : orders.ascending;
  if (!kept.has(numbers)) {
    const last = descending ? -Infinity : Infinity;
    const keys = numbers.map((value) => (Number.isNaN(value) ? last : value));
    const sign = descending ? -1 : 1;
    kept.set(numbers, Uint32Array.from(keys.keys()).sort((a, b) => sign * (keys[a] - keys[b]) || a - b));
  }
  return kept.get(numbers);
}

function sortedBy(indices, numbers, descending) {
  const listed = new Uint8Array(numbers.length);
  for (const i of indices) listed[i] = 1;
  return Array.from(orderOf(numbers, descending).filter((i) => listed[i]));
}

function extent(indices, ...columns) {
  let [low, high] = [Infinity, -Infinity];
  for (const numbers of columns) {
    for (const i of indices) {
      if (numbers[i] < low) low = numbers[i];
      if (numbers[i] > high) high = numbers[i];
    }
  }
  return low <= high ? [low, high] : null;
}

// Buckets of equal width from the least to the greatest value.
function bucketsOf([low, high], numBuckets) {
  if (low === high) {
    const reach = Math.max(Math.abs(low) * 1e-6, 1e-9);
    return { low: low - reach, high: low + reach, width: 2 * reach, num: 1 };
  }
  return { low, high, width: (high - low) / numBuckets, num: numBuckets };
}

function bucketOf(buckets, value) {
  return Number.isNaN(value) ? -1 : Math.min(buckets.num - 1, Math.max(0, Math.floor((value - buckets.low) / buckets.width)));
}

// Slices and rows in each bucket.
function countIn(buckets, indices, numbers, rows) {
  const found = { slices: new Float64Array(buckets.num), rows: new Float64Array(buckets.num) };
  for (const i of indices) {
    const place = bucketOf(buckets, numbers[i]);
    if (place < 0) continue;
    found.slices[place] += 1;
    found.rows[place] += rows[i] ?? 0;
  }
  return found;
}
