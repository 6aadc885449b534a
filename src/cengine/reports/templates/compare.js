// A metric by slice over runs, and settings beside a metric in parallel coordinates.

const comparison = readJson('comparison-data');
const MAX_SHOWN = 40;
const MAX_RUNS = 8;
const FIRST_RUNS = 6;
const FIRST_AXES = 6;
const MAX_AXES = 10;
const MAX_DOTS = 500;
const byId = (id) => document.getElementById(id);

// A metric by slice

function startSlices() {
  const { labels, keys, names } = comparison;
  const chart = startChart(byId('slices-chart'), readJson('slices-spec'));
  const [labelSelect, setSelect, metricSelect, text] = ['label', 'set', 'metric', 'text'].map((part) => byId(`slices-${part}`));
  const state = { label: labels[0], runs: [] };
  let chosen = () => [];
  let drawnRuns = null;

  function setLabel() {
    state.label = labels[Number(labelSelect.value)];
    options(setSelect, state.label.sets.map((set) => (state.label.num_splits > 1 ? `${set.columns.join(' × ')} on ${set.split}` : set.columns.join(' × '))));
    options(metricSelect, state.label.metrics);
    const places = state.label.runs.map((key) => keys.indexOf(key));
    byId('slices-runs').querySelectorAll('label').forEach((label) => label.remove());
    chosen = ticks(byId('slices-runs'), places.map((i) => names[i]), places.map((_, i) => i).slice(0, FIRST_RUNS), MAX_RUNS, draw);
    draw();
  }

  function draw() {
    const set = state.label.sets[Number(setSelect.value)];
    const metric = state.label.metrics[Number(metricSelect.value)];
    const runs = chosen().map((i) => state.label.runs[i]).filter((key) => key in set.runs);
    const found = matching(set, text.value);
    const shown = found.slice(0, MAX_SHOWN);
    const rows = shown.flatMap(({ place, told }) => runs.flatMap((key) => {
      const { value, low, high } = set.runs[key].metrics[metric];
      if (value[place] === null) return [];
      return [{ slice: told, run: nameOf(key), value: value[place], low: low[place], high: high[place], num_rows: set.runs[key].num_rows[place] }];
    }));
    byId('slices-num-runs').textContent = String(runs.length);
    byId('slices-status').textContent = status(set, found, shown, metric);
    table(set, metric, runs, shown);
    const domain = runs.map(nameOf);
    const height = Math.max(1, shown.length) * Math.max(22, 9 * domain.length + 6) + 60;
    const change = drawnRuns === domain.join('\n') ? null : (spec) => withRuns(spec, domain, height);
    drawnRuns = domain.join('\n');
    chart.show({ data: { slices: rows }, size: { height }, change });
  }

  function nameOf(key) {
    return names[keys.indexOf(key)];
  }

  function table(set, metric, runs, shown) {
    const decimals = decimalsOf(runs.flatMap((key) => shown.map(({ place }) => set.runs[key].metrics[metric].value[place])));
    const head = element('tr', {}, element('th', { scope: 'col' }, set.columns.join(' × ')),
      ...runs.map((key) => element('th', { scope: 'col', class: 'num' }, element('bdi', {}, nameOf(key)))), element('th', { scope: 'col', class: 'num' }, 'Rows'));
    const body = shown.map(({ place, told }) => element('tr', {}, element('th', { scope: 'row' }, element('bdi', {}, told)), ...runs.map((key) => {
      const { value, low, high } = set.runs[key].metrics[metric];
      const ends = isNumber(low[place]) && isNumber(high[place]) ? `${formatFixed(low[place], decimals)} – ${formatFixed(high[place], decimals)}` : '';
      return element('td', { class: 'num' }, formatFixed(value[place], decimals), element('span', { class: 'below small muted' }, ends));
    }), element('td', { class: 'num' }, formatNumber(Math.max(...runs.map((key) => set.runs[key].num_rows[place] ?? 0), 0)))));
    byId('slices-table').replaceChildren(element('table', { class: 'numbers compact' }, element('caption', {}, `${metric} with 95 % interval`),
      element('thead', {}, head), element('tbody', {}, ...body)));
  }

  options(labelSelect, labels.map((label) => label.title));
  labelSelect.addEventListener('change', setLabel);
  for (const select of [setSelect, metricSelect]) select.addEventListener('change', draw);
  text.addEventListener('input', draw);
  text.form.addEventListener('submit', (event) => event.preventDefault());
  setLabel();
}

// The slices whose text holds what was typed, largest first; texts that are alike are told apart by a mark that is not seen.
function matching(set, typed) {
  const wanted = typed.trim().toLowerCase();
  const seen = new Map();
  const found = [];
  for (let place = 0; place < set.values[0].length; place += 1) {
    const told = set.values.map((column) => valueText(column[place])).join(' · ');
    const count = seen.get(told) ?? 0;
    seen.set(told, count + 1);
    if (told.toLowerCase().includes(wanted)) found.push({ place, told: told + '\u200b'.repeat(count) });
  }
  return found;
}

function status(set, found, shown, metric) {
  const left = set.num_left_out ? `, the largest of ${formatNumber(set.num_slices)}` : '';
  const cut = found.length > shown.length ? `${shown.length} of ${plural(found.length, 'slice')}${left}` : plural(found.length, 'slice') + left;
  return `${metric} of ${cut}, most rows first.`;
}

function withRuns(spec, domain, height) {
  const range = domain.map((_, i) => `var(--series-${(i % MAX_RUNS) + 1})`);
  for (const { encoding } of spec.layer) {
    encoding.color.scale = { domain, range };
    encoding.yOffset.scale = { domain };
  }
  spec.height = height;
  return spec;
}

// Parallel coordinates

function startParallel() {
  const { settings, metrics, keys, names } = comparison;
  const metricSelect = byId('parallel-metric');
  const runSelect = byId('parallel-run');
  const place = byId('parallel-chart');
  const chart = startChart(place, readJson('parallel-spec'), (run) => stand(run ?? runSelect.value));
  const chosen = ticks(byId('parallel-axes'), settings.map((axis) => axis.path), telling(settings, metrics[0]).slice(0, FIRST_AXES), MAX_AXES, draw);
  let told = '';

  function axes() {
    return [...chosen().map((i) => settings[i]), metrics[Number(metricSelect.value)]];
  }

  function draw() {
    const shown = axes();
    const metric = shown[shown.length - 1];
    const points = [];
    for (const [i, key] of keys.entries()) {
      if (metric.positions[i] === null) continue;
      for (const [number, axis] of shown.entries()) {
        points.push({ run: key, name: names[i], axis: number, position: axis.positions[i], told: axis.told[i], title: axis.path, metric: metric.positions[i] });
      }
    }
    const marks = shown.flatMap((axis, number) => axis.ticks.map((tick) => ({ axis: number, position: tick.position, told: tick.text })));
    const titles = shown.map((axis, number) => ({ axis: number, lines: number < shown.length - 1 ? pathLines(axis.path) : [axis.path] }));
    byId('parallel-num-axes').textContent = String(shown.length - 1);
    stand(runSelect.value);
    const size = { width: Math.max(place.clientWidth, 110 * shown.length) };
    const dots = points.length > MAX_DOTS ? [] : points;
    chart.show({ data: { points, dots, ticks: marks, axes: titles }, size, signals: { picked: runSelect.value } });
  }

  function stand(run) {
    if (run === told && run === '') return;
    told = run;
    chart.signal('picked', run);
    const i = keys.indexOf(run);
    byId('parallel-status').textContent = i < 0 ? '' : described(i);
  }

  function described(i) {
    return `${names[i]}: ${axes().map((axis) => `${isolated(axis.path)} ${isolated(axis.told[i])}`).join(', ')}`;
  }

  options(metricSelect, metrics.map((metric) => metric.title));
  runSelect.append(...keys.map((key, i) => element('option', { value: key }, names[i])));
  metricSelect.addEventListener('change', draw);
  runSelect.addEventListener('change', () => stand(runSelect.value));
  metricSelect.form.addEventListener('submit', (event) => event.preventDefault());
  draw();
}

// The places of the settings that differ among the runs that have the metric.
function telling(settings, metric) {
  const differs = (axis) => new Set(axis.told.filter((_, i) => metric.positions[i] !== null)).size > 1;
  return settings.flatMap((axis, i) => (differs(axis) ? [i] : []));
}

// The last two steps of a path, a line each.
function pathLines(path) {
  const steps = path.match(/(?:"(?:[^"\\]|\\.)*"|[^."]+)/g) ?? [path];
  return steps.slice(-2);
}

if (byId('slices-chart')) startSlices();
if (byId('parallel-chart')) startParallel();
