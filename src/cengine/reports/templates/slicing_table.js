// The table of slices: sorted by its headers, a page at a time, so that thousands of slices stay smooth.

const PAGE_ROWS = 50;

class SliceTable {
  constructor(place, pages, act) {
    this.act = act;
    this.pages = pages;
    this.table = element('table');
    place.append(this.table);
    this.caption = element('caption');
    this.head = element('tr');
    this.body = element('tbody');
    this.table.append(this.caption, element('thead', {}, this.head), this.body);
    this.head.addEventListener('click', (event) => {
      const header = event.target.closest('th');
      if (event.target.closest('button')) this.act.sort(header.dataset.column);
    });
    this.buttons = {};
    for (const [name, told] of [['first', 'First page'], ['previous', 'Previous'], ['next', 'Next'], ['last', 'Last page']]) {
      this.buttons[name] = element('button', { type: 'button', 'data-page': name }, told);
      this.buttons[name].addEventListener('click', () => this.act.turn(name));
    }
    this.told = element('span');
    pages.append(this.buttons.first, this.buttons.previous, this.told, this.buttons.next, this.buttons.last);
  }

  // `told` has caption, columns (id, title, numeric, cell(i), numbers), indices in order, page and sort.
  show(told) {
    this.caption.textContent = told.caption;
    this.showHead(told);
    const first = told.page * PAGE_ROWS;
    const rows = told.indices.slice(first, first + PAGE_ROWS);
    this.body.replaceChildren(...rows.map((i) => element('tr', {}, ...told.columns.map((column) => this.cell(column, i)))));
    const numPages = Math.max(1, Math.ceil(told.indices.length / PAGE_ROWS));
    this.showPages(told.page, numPages);
  }

  showHead({ columns, sort }) {
    const names = columns.map((column) => `${column.id} ${column.title}`).join('\n');
    if (names !== this.names) {
      this.names = names;
      this.head.replaceChildren(...columns.map((column) => {
        const header = element('th', { scope: 'col', 'data-column': column.id, class: column.numeric ? 'num' : null });
        header.append(column.numbers ? element('button', { type: 'button' }, column.title) : element('span', { class: 'sr' }, column.title));
        return header;
      }));
    }
    for (const header of this.head.children) {
      if (header.dataset.column === sort.column) header.setAttribute('aria-sort', sort.descending ? 'descending' : 'ascending');
      else header.removeAttribute('aria-sort');
    }
  }

  cell(column, i) {
    if (column.head) return element('th', { scope: 'row' }, column.cell(i));
    return element('td', { class: column.className ?? (column.numeric ? 'num' : 'key') }, column.cell(i));
  }

  showPages(page, numPages) {
    this.told.textContent = `Page ${formatNumber(page + 1)} of ${formatNumber(numPages)}`;
    const focused = document.activeElement;
    for (const name of ['first', 'previous']) this.buttons[name].disabled = page === 0;
    for (const name of ['next', 'last']) this.buttons[name].disabled = page >= numPages - 1;
    // A button that goes dark would lose the focus to nowhere.
    if (focused?.disabled) (this.buttons.next.disabled ? this.buttons.previous : this.buttons.next).focus();
    this.pages.hidden = numPages === 1;
  }
}

// The columns of the table: slicing columns, rows, the metric with its interval, the second run, the other metrics.
function tableColumns({ slices, metric, metrics, decimals, beside, otherName, scale, overall }) {
  const [own, low, high] = ['value', 'low', 'high'].map((end) => slices.numbers(metric.name, end));
  const theirs = slices.numbers(metric.name, 'value', 1);
  const numberColumn = (id, title, numbers, text, className) => ({ id, title, numbers, numeric: true, cell: text, className });
  const columns = slices.columns.map((name, c) => ({
    id: `value-${c}`, title: name, head: c === 0, numeric: false, numbers: slices.ranksOf(c), cell: (i) => valueElement(slices.keys[c][i]),
  }));
  columns.push(numberColumn('rows', 'Rows', slices.sizes, (i) => formatNumber(slices.sizes[i])));
  columns.push(numberColumn('metric', metric.name, own, (i) => formatFixed(own[i], decimals), 'num strong'));
  columns.push(numberColumn('low', '95 % interval', low, (i) => intervalText(low[i], high[i], decimals)));
  columns.push({
    id: 'drawn', title: 'Interval, drawn', numeric: false, className: 'drawn',
    cell: (i) => drawnInterval({ value: own[i], low: low[i], high: high[i], other: beside ? theirs[i] : NaN, overall, domain: scale.domain }),
  });
  const constants = slices.numbers(metric.name, 'constant');
  if (constants.some(isNumber)) columns.push(numberColumn('constant', 'Constant', constants, (i) => constantElement(own[i], constants[i], decimals, metric)));
  const harm = slices.harm(metric, overall);
  columns.push(numberColumn('harm', 'Harm', harm, (i) => formatSigned(harm[i], harmDecimals(harm))));
  if (beside) {
    const differences = slices.differences(metric.name);
    columns.push(numberColumn('other', otherName, theirs, (i) => formatFixed(theirs[i], decimals)));
    columns.push(numberColumn('difference', 'Difference', differences, (i) => differenceElement(differences[i], decimals, metric)));
  }
  for (const [k, another] of metrics.entries()) {
    if (another.name === metric.name) continue;
    const numbers = slices.numbers(another.name);
    const places = decimalsOf([...numbers.slice(0, 200)]);
    columns.push(numberColumn(`metric-${k}`, another.name, numbers, (i) => formatFixed(numbers[i], places)));
  }
  return columns;
}

function intervalText(low, high, decimals) {
  return Number.isNaN(low) || Number.isNaN(high) ? MISSING : `${formatFixed(low, decimals)} – ${formatFixed(high, decimals)}`;
}

// What the constant reaches, marked where the model does not beat it.
function constantElement(value, constant, decimals, metric) {
  const told = formatFixed(constant, decimals);
  const beaten = !metric.has_best_end || Number.isNaN(value) || Number.isNaN(constant) || (metric.higher_is_better ? value > constant : value < constant);
  return beaten ? told : element('span', { class: 'bad' }, told, element('span', { class: 'sr' }, ' the model is no better'));
}

function harmDecimals(harm) {
  const largest = harm.reduce((most, value) => (Number.isNaN(value) ? most : Math.max(most, Math.abs(value))), 0);
  return largest >= 100 ? 0 : decimalsOf([0, largest || 1]);
}

function differenceElement(difference, decimals, metric) {
  if (!metric.has_best_end || Number.isNaN(difference) || difference === 0) return formatSigned(difference, decimals);
  const better = (difference > 0) === metric.higher_is_better;
  return element('span', { class: better ? 'good' : 'bad' }, formatSigned(difference, decimals), element('span', { class: 'sr' }, better ? ' better' : ' worse'));
}

// The scale of the drawings of a page: its values and the overall one; a tiny slice's long interval does not squeeze the others.
function drawnDomain(indices, numbers, overall) {
  const range = extent(indices, numbers);
  if (!range) return null;
  const [low, high] = isNumber(overall) ? [Math.min(range[0], overall), Math.max(range[1], overall)] : range;
  const margin = (high - low || Math.abs(low) || 1) * 0.08;
  return [low - margin, high + margin];
}

// The interval as a line with the value as a dot; what reaches beyond the scale is cut.
function drawnInterval({ value, low, high, other, overall, domain }) {
  const drawn = element('span', { class: 'interval', 'aria-hidden': 'true' });
  if (!domain || Number.isNaN(value)) return drawn;
  const reach = domain[1] - domain[0] || 1;
  const placeOf = (number) => Math.min(100, Math.max(0, (100 * (number - domain[0])) / reach));
  const add = (name, at) => {
    const part = element('span', { class: name });
    part.style.left = `${placeOf(at)}%`;
    drawn.append(part);
    return part;
  };
  if (isNumber(overall)) add('overall-mark', overall);
  if (!Number.isNaN(low) && !Number.isNaN(high)) add('reach', low).style.width = `${placeOf(high) - placeOf(low)}%`;
  if (!Number.isNaN(other)) add('dot other', other);
  add('dot', value);
  return drawn;
}
