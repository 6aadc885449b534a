// The slicing view: what is chosen in the controls, and what follows from it.

const SIZE_STEPS = 100;

class SlicingView {
  constructor(place) {
    this.place = place;
    this.data = JSON.parse(document.getElementById(`${place.id}-data`).textContent);
    [this.own, this.other] = this.data.runs;
    this.state = { page: 0, bucket: null, sort: { column: 'harm', descending: true } };
    this.kept = new Map();
    this.controls = Object.fromEntries([...place.querySelectorAll('[data-control]')].map((control) => [control.dataset.control, control]));
    this.histogram = new Histogram(this.part('histogram'), (bucket) => this.chooseBucket(bucket));
    this.table = new SliceTable(this.part('table'), this.part('pages'), {
      sort: (column) => this.sort(column),
      turn: (where) => this.turn(where),
    });
    this.fill();
    this.listen();
    this.update();
  }

  part(name) { return this.place.querySelector(`[data-place="${name}"]`); }

  told(name) { return this.place.querySelector(`[data-told="${name}"]`); }

  // What can be chosen

  fill() {
    const options = (control, names) => control.replaceChildren(...names.map((name, k) => element('option', { value: k }, name)));
    options(this.controls.metric, this.data.metrics.map((metric) => metric.name));
    const columns = new Map(this.own.sets.map((set) => [JSON.stringify(set.columns), set.columns]));
    this.columnSets = [...columns.keys()];
    options(this.controls.columns, [...columns.values()].map((names) => names.join(' × ')));
    this.splits = [...new Set(this.own.sets.map((set) => set.split))];
    options(this.controls.split, this.splits);
    this.controls.split.closest('p').hidden = this.splits.length < 2;
    if (this.other) {
      this.controls.beside.closest('p').hidden = false;
      this.told('beside').textContent = `beside ${this.other.name}`;
    }
  }

  listen() {
    const { controls } = this;
    const on = (name, event, action) => controls[name].addEventListener(event, action);
    for (const name of ['metric', 'columns', 'split']) on(name, 'change', () => this.update({ bucket: null, page: 0 }));
    for (const name of ['weight', 'beside']) on(name, 'change', () => this.update({ bucket: null, page: 0 }));
    for (const name of ['buckets', 'smallest', 'unit']) on(name, 'input', () => this.update({ bucket: null, page: 0 }));
    on('slider', 'input', () => this.slide());
    on('text', 'input', () => this.update({ page: 0 }));
    on('clear', 'click', () => { this.chooseBucket(null); this.part('histogram').querySelector('[tabindex="0"]')?.focus(); });
    this.place.querySelector('form').addEventListener('submit', (event) => event.preventDefault());
    this.place.addEventListener('keydown', (event) => { if (event.key === 'Escape' && this.state.bucket !== null) this.chooseBucket(null); });
    let width = this.place.clientWidth;
    addEventListener('resize', () => { if (this.place.clientWidth !== width) { width = this.place.clientWidth; this.update(); } });
  }

  chooseBucket(bucket) {
    if (bucket !== null) this.histogram.focused = bucket;
    this.update({ bucket: bucket === this.state.bucket ? null : bucket, page: 0 });
  }

  sort(column) {
    const { sort } = this.state;
    const descending = sort.column === column ? !sort.descending : !column.startsWith('value-');
    this.update({ sort: { column, descending }, page: 0 });
  }

  turn(where) {
    const last = Math.max(0, Math.ceil(this.numListed / PAGE_ROWS) - 1);
    const { page } = this.state;
    this.update({ page: { first: 0, previous: Math.max(0, page - 1), next: Math.min(last, page + 1), last }[where] });
  }

  // The slider moves in equal ratios, since a few slices are large and most are small.
  slide() {
    const { slider, smallest, unit } = this.controls;
    const largest = this.largest();
    const rows = Number(slider.value) === 0 ? 0 : Math.round(largest ** (slider.value / SIZE_STEPS));
    smallest.value = unit.value === 'share' ? Number(((100 * rows) / this.total()).toPrecision(3)) : rows;
    this.update({ bucket: null, page: 0 });
  }

  // What is chosen

  metric() { return this.data.metrics[this.controls.metric.value]; }

  split() { return this.splits[this.controls.split.value]; }

  beside() { return Boolean(this.other) && this.controls.beside.checked && Boolean(this.slices().sets[1]); }

  slices() {
    const [columns, split] = [this.columnSets[this.controls.columns.value], this.split()];
    const name = `${split} ${columns}`;
    if (!this.kept.has(name)) {
      const find = (run) => run?.sets.find((set) => set.split === split && JSON.stringify(set.columns) === columns);
      // A set of columns can be missing in one of the splits.
      const own = find(this.own) ?? { columns: JSON.parse(columns), split, num_left_out: 0, values: JSON.parse(columns).map(() => []), num_rows: [], metrics: {} };
      this.kept.set(name, { alone: new Slices(own, undefined), both: this.other ? new Slices(own, find(this.other)) : null });
    }
    const { alone, both } = this.kept.get(name);
    return this.other && this.controls.beside.checked ? both : alone;
  }

  largest() { return this.slices().sizes.reduce((most, rows) => Math.max(most, rows), 1); }

  overallOf(run) { return run?.overall.find((row) => row.split === this.split() && row.metric === this.metric().name); }

  total() { return this.overallOf(this.own)?.num_rows || 1; }

  smallest() {
    const given = Math.max(0, Number(this.controls.smallest.value) || 0);
    return this.controls.unit.value === 'share' ? (given / 100) * this.total() : given;
  }

  // What follows

  update(changed = {}) {
    Object.assign(this.state, changed);
    const slices = this.slices();
    const metric = this.metric();
    const beside = this.beside();
    const [own, theirs] = [slices.numbers(metric.name), slices.numbers(metric.name, 'value', 1)];
    const large = slices.largerThan(this.smallest());
    const range = beside ? extent(large, own, theirs) : extent(large, own);
    const wanted = Math.round(Number(this.controls.buckets.value));
    const buckets = range && bucketsOf(range, Math.min(100, Math.max(2, wanted || 20)));
    const matching = slices.containing(large, this.controls.text.value);
    const { bucket } = this.state;
    const listed = bucket === null || !buckets ? matching : matching.filter((i) => bucketOf(buckets, own[i]) === bucket);
    const view = { slices, metric, beside, own, theirs, range, buckets, matching, listed, decimals: decimalsOf(range ?? []) };
    this.showOverall(view);
    this.showHistogram(view);
    this.showTable(view);
    this.showStatus(view);
    this.showSlider();
  }

  showOverall({ metric, decimals, beside }) {
    const tell = (run) => {
      const row = this.overallOf(run);
      if (!row) return 'no overall value';
      const interval = row.low === null || row.high === null ? '' : ` (95 % interval ${intervalText(row.low, row.high, decimals)})`;
      return `${formatFixed(row.model, decimals)}${interval} on ${plural(row.num_rows, 'row')}`;
    };
    const theirs = beside ? `; ${this.other.name}: ${tell(this.other)}` : '';
    const better = metric.has_best_end ? `${metric.higher_is_better ? 'higher' : 'lower'} is better` : 'neither more nor less is better by itself';
    this.told('overall').textContent = `All slices together: ${metric.name}${this.ofLabel()} ${tell(this.own)}${theirs}; ${better}.`;
  }

  showHistogram({ slices, metric, beside, own, theirs, buckets, matching, decimals }) {
    const overall = [[this.own, 'overall', false], [beside && this.other, this.other?.name, true]]
      .flatMap(([run, name, other]) => (run && this.overallOf(run) ? [{ value: this.overallOf(run).model, name, other }] : []));
    this.histogram.show({
      buckets, overall, decimals, metric: metric.name, weight: this.controls.weight.value, chosen: this.state.bucket, otherName: this.other?.name,
      counts: buckets && countIn(buckets, matching, own, slices.rows[0]),
      otherCounts: buckets && beside ? countIn(buckets, matching, theirs, slices.rows[1]) : null,
    });
  }

  showTable({ slices, metric, beside, range, listed, decimals }) {
    const overall = this.overallOf(this.own)?.model;
    const scale = { domain: range };
    const columns = tableColumns({ slices, metric, beside, decimals, scale, overall, metrics: this.data.metrics, otherName: this.other?.name });
    const { sort } = this.state;
    const sorted = columns.find((column) => column.id === sort.column);
    if (!sorted) Object.assign(sort, { column: 'rows', descending: true });
    const indices = sortedBy(listed, sorted ? sorted.numbers : slices.sizes, sort.descending);
    this.numListed = indices.length;
    const own = slices.numbers(metric.name);
    scale.domain = drawnDomain(indices.slice(this.state.page * PAGE_ROWS, (this.state.page + 1) * PAGE_ROWS), own, overall);
    const caption = `${metric.name}${this.ofLabel()} by ${slices.columns.join(' × ')}, ${this.split()}`;
    this.table.show({ caption, columns, indices, sort, page: this.state.page });
  }

  ofLabel() {
    return this.data.label ? ` of ${this.data.label}` : '';
  }

  showStatus({ slices, metric, buckets, listed, decimals }) {
    const { bucket } = this.state;
    const rows = listed.reduce((sum, i) => sum + (slices.rows[0][i] ?? 0), 0);
    this.told('status').textContent = `${formatNumber(listed.length)} of ${plural(slices.length, 'slice')}, ${plural(rows, 'row')}`;
    const { clear } = this.controls;
    clear.hidden = bucket === null || !buckets;
    if (!clear.hidden) {
      const ends = [0, 1].map((end) => formatFixed(buckets.low + (bucket + end) * buckets.width, decimals));
      clear.textContent = `Only ${metric.name} ${ends[0]} to ${ends[1]}: show all`;
    }
    const notes = [];
    if (slices.numLeftOut) notes.push(`Not on this page, since they are the smallest: ${plural(slices.numLeftOut, 'more slice')}.`);
    if (slices.length > slices.numOwn) notes.push(`Only in ${this.other.name}: ${plural(slices.length - slices.numOwn, 'slice')}.`);
    if (this.other && this.controls.beside.checked && !slices.sets[1]) notes.push(`${this.other.name} was not sliced like this.`);
    this.told('left-out').textContent = notes.join(' ');
    this.told('left-out').hidden = notes.length === 0;
  }

  showSlider() {
    const { slider } = this.controls;
    const [rows, largest] = [this.smallest(), this.largest()];
    if (document.activeElement !== slider) slider.value = rows < 1 ? 0 : Math.round((SIZE_STEPS * Math.log(rows)) / Math.log(Math.max(largest, 2)));
    slider.setAttribute('aria-valuetext', `at least ${plural(Math.round(rows), 'row')}`);
  }
}

for (const place of document.querySelectorAll('.slicing')) new SlicingView(place);
