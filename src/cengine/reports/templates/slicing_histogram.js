// The histogram of slices by metric: each bar is a button, one stop of the Tab key, arrows move between them.

// Round numbers across a range, about `wanted` of them.
function niceTicks(low, high, wanted) {
  const rough = (high - low) / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((mark) => mark * power).find((candidate) => candidate >= rough);
  const ticks = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k += 1) ticks.push(Number((k * step).toPrecision(12)));
  return ticks;
}

const shortFormat = new Intl.NumberFormat('en-US', { notation: 'compact', maximumSignificantDigits: 3 });

function key(kind, name) {
  return element('span', { class: 'key-of' }, element('i', { class: `sign${kind}` }), name);
}

class Histogram {
  constructor(place, choose) {
    this.place = place;
    this.choose = choose;
    this.focused = 0;
    this.bars = element('div', { class: 'bars' });
    this.lines = element('div');
    this.rules = element('div');
    this.ticks = element('div', { class: 'ticks', 'aria-hidden': 'true' });
    this.axis = element('div', { class: 'axis', 'aria-hidden': 'true' });
    place.append(element('div', { class: 'plot' }, this.lines, this.bars, this.rules), this.ticks, this.axis);
    this.bars.addEventListener('keydown', (event) => this.move(event));
    this.bars.addEventListener('click', (event) => {
      const bar = event.target.closest('button');
      if (bar) this.choose([...this.bars.children].indexOf(bar));
    });
  }

  // `told` has buckets, counts and otherCounts, weight, chosen, metric, decimals, and overall: a list of {value, name, other}.
  show(told) {
    this.place.setAttribute('aria-label', `Slices by ${told.metric}; arrow keys move between buckets, Enter shows only one`);
    this.axis.replaceChildren(told.metric, ...(told.otherCounts ? [key('', 'this run'), key(' other', told.otherName)] : []));
    if (!told.buckets) {
      this.bars.replaceChildren(element('p', { class: 'empty' }, 'No slice is that large.'));
      for (const part of [this.lines, this.rules, this.ticks]) part.replaceChildren();
      return;
    }
    const counts = told.counts[told.weight];
    const others = told.otherCounts?.[told.weight];
    const highest = Math.max(...counts, ...(others ?? []), 1);
    this.showBars(told, counts, others, highest);
    this.showLevels(highest);
    this.showScale(told);
  }

  showBars(told, counts, others, highest) {
    const { buckets, chosen, decimals } = told;
    this.focused = Math.min(this.focused, buckets.num - 1);
    const bars = Array.from(counts, (count, k) => {
      const [from, to] = [0, 1].map((end) => formatFixed(buckets.low + (k + end) * buckets.width, decimals));
      const beside = told.otherCounts ? `; ${told.otherName}: ${plural(told.otherCounts.slices[k], 'slice')}` : '';
      const name = `${told.metric} ${from} to ${to}: ${plural(told.counts.slices[k], 'slice')}, ${plural(told.counts.rows[k], 'row')}${beside}`;
      const bar = element('button', { type: 'button', 'aria-label': name, title: name, 'aria-pressed': String(k === chosen), tabindex: k === this.focused ? 0 : -1 });
      bar.append(this.fill('fill', count / highest));
      if (others) bar.append(this.fill('fill other', others[k] / highest));
      return bar;
    });
    const hadFocus = this.bars.contains(document.activeElement);
    this.bars.toggleAttribute('data-chosen', chosen !== null);
    this.bars.replaceChildren(...bars);
    if (hadFocus) this.bars.children[this.focused].focus();
  }

  fill(name, share) {
    const made = element('span', { class: name });
    // One slice among thousands is still seen.
    made.style.height = share > 0 ? `max(2px, ${(100 * share).toFixed(2)}%)` : '0';
    if (share === 0) made.style.visibility = 'hidden';
    return made;
  }

  showLevels(highest) {
    const levels = niceTicks(0, highest, 5).filter((level) => level > 0 && (Number.isInteger(level)));
    this.lines.replaceChildren(...levels.flatMap((level) => {
      const line = element('div', { class: 'line' });
      const told = element('div', { class: 'level', 'aria-hidden': 'true' }, shortFormat.format(level));
      for (const part of [line, told]) part.style.bottom = `${(100 * level) / highest}%`;
      return [line, told];
    }));
  }

  showScale({ buckets, overall, decimals }) {
    const placeOf = (value) => (100 * (value - buckets.low)) / (buckets.high - buckets.low);
    const wanted = Math.max(2, Math.min(10, Math.floor(this.place.clientWidth / 90)));
    this.ticks.replaceChildren(...niceTicks(buckets.low, buckets.high, wanted).map((tick) => {
      const told = element('span', {}, formatNumber(tick));
      told.style.left = `${placeOf(tick)}%`;
      return told;
    }));
    this.rules.replaceChildren(...overall.filter(({ value }) => value >= buckets.low && value <= buckets.high).map(({ value, name, other }) => {
      const rule = element('div', { class: `rule${other ? ' other' : ''}${placeOf(value) > 65 ? ' late' : ''}`, 'aria-hidden': 'true' });
      rule.append(element('span', {}, `${name} ${formatFixed(value, decimals)}`));
      rule.style.left = `${placeOf(value)}%`;
      return rule;
    }));
  }

  move(event) {
    const last = this.bars.children.length - 1;
    const to = { ArrowRight: this.focused + 1, ArrowLeft: this.focused - 1, Home: 0, End: last }[event.key];
    if (to === undefined || to < 0 || to > last) return;
    event.preventDefault();
    this.bars.children[this.focused].tabIndex = -1;
    this.focused = to;
    this.bars.children[to].tabIndex = 0;
    this.bars.children[to].focus();
  }
}
