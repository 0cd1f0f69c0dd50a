'use strict';

const data = JSON.parse(document.getElementById('data').textContent);
const hidden = new Set();

/** More rules than colours can tell apart: the page groups them by the arrays of state they keep, and draws them in charts of their own. */
const many = data.rules.length > 8;
const families = ['No state', '1 array of state', '2 arrays of state', '3 arrays or more']
  .map((name, arrays) => ({ name, rules: data.rules.filter(({ state }) => Math.min(state.length, 3) === arrays).map(rule => rule.name) }))
  .filter(family => family.rules.length > 0);

const at = id => document.getElementById(id);
const shown = list => list.filter(({ rule }) => !hidden.has(rule));
const first = list => list.filter(({ device }) => device === list[0].device);
const several = data.devices.length > 1;
const others = data.devices.slice(1).join(', ');
const finite = list => list.filter(Number.isFinite);

// Not Math.max(...list), which takes no more numbers than fit on the stack.
const highest = list => list.reduce((a, b) => Math.max(a, b), -Infinity);
const lowest = list => list.reduce((a, b) => Math.min(a, b), Infinity);

/** An element with attributes and children; text is never parsed as HTML. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// ---- Numbers, for people

const integer = new Intl.NumberFormat('en').format;
const compact = new Intl.NumberFormat('en', { notation: 'compact' }).format;
const short = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 }).format;
const percent = new Intl.NumberFormat('en', { style: 'percent' }).format;
const percents = new Intl.NumberFormat('en', { style: 'percent', minimumFractionDigits: 2 }).format;

/** A dash for null, which is what JSON has for NaN and infinity. */
const orDash = format => x => (x === null ? '–' : format(x));

const superscript = n => String(n).replace(/[-\d]/g, c => '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'['-0123456789'.indexOf(c)]);
const isPlain = x => x === 0 || (Math.abs(x) >= 1e-3 && Math.abs(x) < 1e6);

/** Three digits; two and a power of ten where there would be many zeros. */
const number = orDash(x => {
  const [digits, exponent] = x.toExponential(1).split('e');
  return (isPlain(x) ? short(x) : `${digits}×10${superscript(Number(exponent))}`).replace(/^-/, '−');
});

/** A label on a logarithmic axis. */
const decade = x => (isPlain(x) ? short(x) : '10' + superscript(Math.round(Math.log10(x))));

// ---- Charts: each has a function that gives its options, and is drawn again whenever something it shows has changed

const charts = new Map();

function chart(element, label, options) {
  element.setAttribute('role', 'img');
  element.setAttribute('aria-label', label);
  const drawing = echarts.init(element, null, { renderer: 'svg' });
  charts.set(element, { drawing, options });
  new ResizeObserver(() => {
    drawing.resize();
    if (charts.has(element) && charts.get(element).width !== element.clientWidth) draw(element);
  }).observe(element);
  draw(element);
}

/** How far apart the labels of an axis are depends on the width, which is kept for when it changes. */
function draw(element) {
  const { drawing, options } = charts.get(element);
  charts.get(element).width = element.clientWidth;
  const fontFamily = getComputedStyle(element).fontFamily;
  drawing.setOption({ animation: false, textStyle: { fontFamily }, ...options(element) }, { notMerge: true });
  bringOut(drawing);
}

const drawAll = () => [...charts.keys()].forEach(draw);

/** Takes away the charts of one place, for others to be drawn there. */
function clearCharts(place) {
  for (const element of [...charts.keys()].filter(element => place.contains(element))) {
    charts.get(element).drawing.dispose();
    charts.delete(element);
  }
  place.replaceChildren();
}

/** A colour of the style sheet, which knows of dark mode and of paper. */
const colour = name => getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim();

function axis(more) {
  return {
    axisLine: { show: false },
    axisTick: { show: false },
    splitLine: { lineStyle: { color: colour('line') } },
    nameTextStyle: { color: colour('quiet') },
    ...more,
    axisLabel: { color: colour('quiet'), hideOverlap: true, ...more.axisLabel },
  };
}

const tooltip = more => ({
  confine: true,
  backgroundColor: colour('card'),
  borderColor: colour('line'),
  padding: [6, 10],
  textStyle: { color: colour('ink'), fontSize: 13, fontFamily: getComputedStyle(document.body).fontFamily },
  ...more,
});

/** What a tooltip says: a heading and a table, in columns where it is long. Elements, so that a name in the data is never taken for HTML. */
function tip(heading, rows) {
  const columns = Math.ceil(rows.length / 12), length = Math.ceil(rows.length / columns);
  return make('div', { class: 'tip' }, make('strong', {}, ...heading), make('div', {}, ...Array.from({ length: columns }, (_, n) =>
    make('table', {}, ...rows.slice(n * length, (n + 1) * length).map(cells => make('tr', {}, ...cells.map(cell => make('td', {}, cell))))))));
}

const dot = colour => make('span', { class: 'swatch', style: `--colour: ${colour}` });

/** The distance of labels, so that they are round numbers and at most so many: 1, 2 or 5 times a power of ten. */
function spacing(max, most) {
  const least = Math.max(max, 1) / Math.max(most, 1), unit = 10 ** Math.floor(Math.log10(least));
  return Math.max(1, unit * [1, 2, 5, 10].find(n => n * unit >= least * (1 - 1e-9)));
}

/** Lines over steps or samples. A line: { name, rule, colour, points, faint, marks, dashed, grey }, its points [x, y], y null for a gap. */
function curves(element, { lines, names, xName, logX, logY, yMin, yMax, format, axisFormat, interval }) {
  const drawable = lines.filter(({ points }) => points.some(([, y]) => Number.isFinite(y)));
  if (drawable.length === 0) {
    return { title: { text: 'Nothing to draw', left: 'center', top: 'middle', textStyle: { color: colour('quiet'), fontWeight: 400, fontSize: 15 } } };
  }
  // Charts beside each other have one margin; where there is no room for that, each has its own.
  const margin = lines => 42 + 7 * highest([...lines].map(({ name }) => name.length));
  const right = names ? margin(element.clientWidth < 500 || data.rules.length === 0 ? names.keys() : data.rules) : 28;
  const xMax = highest(lines.flatMap(({ points }) => points.map(([x]) => x)));
  const xInterval = spacing(xMax, Math.floor((element.clientWidth - 52 - right) / 52));
  const byId = new Map(drawable.map(line => ['line ' + line.name, line]));
  return {
    grid: { left: 52, right, ...margins },
    tooltip: tooltip({
      trigger: 'axis',
      axisPointer: { lineStyle: { color: colour('quiet') }, label: { show: false } },
      formatter: items => tip([`${xName} ${integer(items[0].axisValue)}`],
        items.filter(({ seriesId, value }) => byId.has(seriesId) && Number.isFinite(value[1]))
          .sort((a, b) => b.value[1] - a.value[1])
          .map(({ seriesId, value }) => [dot(byId.get(seriesId).colour), byId.get(seriesId).name, format(value[1])])),
    }),
    xAxis: axis({
      type: logX ? 'log' : 'value', name: xName, nameLocation: 'middle', nameGap: 28, splitLine: { show: false },
      ...(logX
        ? { min: 'dataMin', max: 'dataMax', axisLabel: { formatter: compact } }
        : { min: 0, max: xMax, interval: xInterval, axisLabel: { formatter: x => integer(x), showMaxLabel: xMax % xInterval === 0 } }),
    }),
    yAxis: axis({ type: logY ? 'log' : 'value', min: yMin, max: yMax, interval, axisLabel: { formatter: axisFormat } }),
    series: drawable.flatMap(line => [
      ...(line.faint ? [{
        id: 'faint ' + line.name, name: line.rule, type: 'line', data: line.faint, silent: true, showSymbol: false, z: 1,
        color: line.colour, lineStyle: { width: 0.7, opacity: 0.25 }, emphasis: { lineStyle: { width: 0.7 } },
        blur: { lineStyle: { opacity: 0.04 } },
      }] : []),
      {
        id: (line.grey ? 'grey ' : 'line ') + line.name, name: line.rule, type: 'line', data: line.points, z: line.grey ? 0 : 2,
        showSymbol: Boolean(line.marks), symbol: 'circle', symbolSize: 5, silent: Boolean(line.grey), sampling: line.grey && 'lttb',
        triggerLineEvent: true, color: line.grey ? colour('ring') : line.colour,
        lineStyle: { width: line.grey ? 1 : line.faint ? 2 : 1.5, type: line.dashed ? 'dashed' : 'solid' },
        endLabel: {
          show: Boolean(names) && !line.dashed && !line.grey, formatter: `{dot|●} ${line.name}`, rich: { dot: { color: line.colour } },
          color: colour('ink'), distance: 6, offset: [0, names?.get(line) ?? 0], textBorderColor: colour('paper'), textBorderWidth: 3,
        },
        emphasis: { focus: 'series', lineStyle: { width: 3, color: line.colour }, endLabel: { fontWeight: 'bold' } },
        blur: { lineStyle: { opacity: line.grey ? 0.5 : 0.15 }, endLabel: { opacity: 0.25 } },
      },
    ]),
  };
}

const margins = { top: 12, bottom: 44 };

/** For the names at the ends of lines: how far up or down each must go, in pixels, to stand clear of its neighbours. */
function clear(element, lines, { logY, yMin, yMax }) {
  const height = element.clientHeight - margins.top - margins.bottom, lineHeight = 15;
  const scale = logY ? Math.log10 : y => y;
  const pixel = y => (scale(yMax) - scale(y)) / (scale(yMax) - scale(yMin)) * height;
  // A line that ended early, with a rule that diverged, has its name to itself.
  const ends = lines.filter(({ points }) => Number.isFinite(points.at(-1)?.[1]))
    .map(line => ({ line, wish: pixel(line.points.at(-1)[1]) }))
    .sort((a, b) => a.wish - b.wish);
  ends.forEach((end, n) => { end.place = Math.max(end.wish, n > 0 ? ends[n - 1].place + lineHeight : 0); });
  let floor = height;
  for (const end of ends.reverse()) {
    end.place = Math.min(end.place, floor);
    floor = end.place - lineHeight;
  }
  return new Map(ends.map(({ line, wish, place }) => [line, place - wish]));
}

/** Bounds for losses: a rule that shoots up at first, or for good, must not squash the others. */
function bounds(lines, log) {
  const values = lines.flatMap(line => finite(line.points.map(([, y]) => y)));
  const start = highest(lines.map(line => line.points.map(([, y]) => y).find(Number.isFinite) ?? 0));
  const top = Math.min(highest(values), (log ? 10 : 1.5) * start);
  if (!(top > 0)) return { yMin: log ? 0.1 : 0, yMax: 1 };
  const bottom = Math.min(Math.max(lowest(values.filter(y => y > 0)), 1e-7), top);
  const yMin = log ? 10 ** Math.floor(Math.log10(bottom)) : 0;
  const unit = 10 ** Math.floor(Math.log10(top)), tick = top > 4 * unit ? 2 * unit : unit / 2;
  const yMax = log ? Math.max(10 ** Math.ceil(Math.log10(top)), 10 * yMin) : Math.ceil(top / tick) * tick;
  return { yMin, yMax };
}

/** In words, what is not between the bounds of a chart. A list: { name, points }, its points [x, y], y null for what is no number. */
function cutOff(list, { yMin, yMax, xName, what, format }) {
  const times = points => ` in ${integer(points.length)} ${points.length === 1 ? what : what + 's'}`;
  const say = (title, pick, word, extreme) => {
    const parts = list.map(({ name, points }) => ({ name, found: points.filter(([, y]) => pick(y)) }))
      .filter(({ found }) => found.length > 0)
      .map(({ name, found }) => {
        const [x, y] = found.reduce((a, b) => (extreme(a[1], b[1]) ? a : b));
        return `${name}${times(found)}, ${word(y)} ${xName} ${integer(x)}`;
      });
    return parts.length === 0 ? '' : `${title}: ${parts.join('; ')}. `;
  };
  return say('Above the chart', y => y !== null && y > yMax, y => `up to ${format(y)} at`, (a, b) => a >= b)
    + say('Below the chart', y => y !== null && y < yMin, y => `down to ${format(y)} at`, (a, b) => a <= b)
    + say('Not a finite number', y => y === null, () => 'first at', () => true);
}

/** On a logarithmic axis there is no 0, so that is a gap too. */
const positive = (points, log) => (log ? points.map(([x, y]) => [x, y > 0 ? y : null]) : points);

// ---- The legend

const boxes = new Map();

/** Shows these rules or hides them, everywhere. */
function show(names, on) {
  for (const name of names) {
    if (on) hidden.delete(name); else hidden.add(name);
    boxes.get(name).checked = on;
  }
  marks();
  rows();
  panels();
  for (const fill of refill) fill();
  point(pointed);
}

/** What the legend says of itself: how many rules are shown, and of each group whether it is all of them, none or some. */
function marks() {
  const all = data.rules.length, on = all - hidden.size;
  at('shown').textContent = on === all ? `all ${all}` : on === 0 ? `none of ${all}` : `${on} of ${all}`;
  for (const { box, rules } of groups) {
    const shown = rules.filter(name => !hidden.has(name)).length;
    box.checked = shown > 0;
    box.indeterminate = shown > 0 && shown < rules.length;
  }
}

const groups = [];

function tick(text, changed) {
  const box = make('input', { type: 'checkbox', checked: '' });
  box.addEventListener('change', () => changed(box.checked));
  return { box, label: make('label', {}, box, ...text) };
}

function legend() {
  const list = at('rules').querySelector('.choices');
  for (const { name, rules } of many ? families : [{ name: 'Rules shown', rules: data.rules.map(rule => rule.name) }]) {
    const heading = tick([name], on => show(rules, on));
    groups.push({ box: heading.box, rules });
    list.append(make('fieldset', {}, make('legend', {}, many ? heading.label : name), ...rules.map(rule => {
      const { box, label } = tick([swatch(rule), rule], on => show([rule], on));
      boxes.set(rule, box);
      label.dataset.rule = rule;
      return label;
    })));
  }
  at('all').addEventListener('click', () => show(boxes.keys(), true));
  at('none').addEventListener('click', () => show(boxes.keys(), false));
  document.body.classList.toggle('many', many);
  at('raw').checked = !many;
  marks();
  // Beside the page it is always open; above it, it would hide what it filters.
  const wide = matchMedia('(min-width: 64rem)');
  const unfold = () => {
    at('rules').open = wide.matches || !many;
    at('rules').querySelector('summary').tabIndex = wide.matches || !many ? -1 : 0;
  };
  wide.addEventListener('change', unfold);
  unfold();
}

/** The rule that is pointed at, or whose box has the focus: it is brought out wherever it is drawn. */
let pointed;

function bringOut(drawing) {
  drawing.dispatchAction({ type: 'downplay' });
  if (pointed) drawing.dispatchAction({ type: 'highlight', seriesName: pointed });
}

function point(rule) {
  pointed = rule;
  for (const { drawing } of charts.values()) bringOut(drawing);
  for (const element of document.querySelectorAll('[data-rule]')) element.classList.toggle('lit', element.dataset.rule === rule);
}

for (const event of ['pointerover', 'focusin']) {
  document.addEventListener(event, ({ target }) => {
    const rule = target.closest?.('[data-rule]')?.dataset.rule;
    if (rule !== pointed) point(rule);
  });
}

const swatch = rule => dot(data.colours[rule]);

// ---- The table

let order = null;

/** By what is sorted, and which way; what has no figure is last either way. */
function sorted(list) {
  if (!order) return list;
  const value = row => (order.by === 'arrays' ? row.state.length : row[order.by]);
  return [...list].sort((a, b) => {
    const x = value(a), y = value(b);
    if (x === null || y === null) return (x === null) - (y === null);
    return (typeof x === 'string' ? x.localeCompare(y, 'en') : x - y) * (order.rising ? 1 : -1);
  });
}

/** The best first, then the worst first, then the order in which the rules were asked for. */
function headings() {
  for (const heading of document.querySelectorAll('th[data-sort]')) {
    const rising = heading.dataset.best !== 'highest';
    heading.querySelector('button').addEventListener('click', () => {
      const by = heading.dataset.sort;
      order = order?.by !== by ? { by, rising } : order.rising === rising ? { by, rising: !rising } : null;
      for (const other of document.querySelectorAll('th[data-sort]')) {
        if (order && other === heading) other.setAttribute('aria-sort', order.rising ? 'ascending' : 'descending');
        else other.removeAttribute('aria-sort');
      }
      rows();
    });
  }
}

/** Hyperparameters, of which none is torn apart at the end of a line. */
const pieces = (text, separator) => text.split(separator).flatMap((piece, n) =>
  [...(n > 0 ? [separator] : []), make('span', { class: 'piece' }, piece)]);

function rows() {
  const table = sorted(shown(data.table));
  const best = {
    finalLoss: lowest(finite(table.map(row => row.finalLoss))),
    testAccuracy: highest(finite(table.map(row => row.testAccuracy))),
    microsPerUpdate: lowest(finite(table.map(row => row.microsPerUpdate))),
    microsPerStep: lowest(finite(table.map(row => row.microsPerStep))),
  };
  const cell = (row, name, text) =>
    make('td', { class: 'number' }, row[name] === best[name] && table.length > 1 ? make('b', {}, text) : text);
  at('table').querySelector('tbody').replaceChildren(...table.flatMap(row => [
    make('tr', { 'data-rule': row.rule },
      make('th', { scope: 'row' }, swatch(row.rule), row.rule),
      ...(several ? [make('td', { class: 'settings wide' }, row.device)] : []),
      make('td', { class: 'settings state wide' }, row.state.join(', ') || '–'),
      make('td', { class: 'settings wide' }, ...pieces(row.settings, ', ')),
      cell(row, 'finalLoss', row.finalLoss === null && row.steps > 0 ? 'diverged' : number(row.finalLoss)),
      cell(row, 'testAccuracy', orDash(percents)(row.testAccuracy)),
      cell(row, 'microsPerUpdate', number(row.microsPerUpdate)),
      cell(row, 'microsPerStep', number(row.microsPerStep)),
      cell(row, 'seconds', orDash(x => x.toFixed(1))(row.seconds))),
    // Where the page is narrow, a row of its own; the style sheet shows one or the other.
    make('tr', { class: 'narrow', 'data-rule': row.rule },
      make('td', { class: 'settings', colspan: 6 },
        [...(several ? [row.device] : []), row.state.length > 0 ? 'state ' + row.state.join(', ') : 'no state', ''].join(' · '),
        ...pieces(row.settings, ', '))),
  ]));
}

/** Where the learning rates come from, and for which rules, those of most not by name. */
function rates(of) {
  const sources = new Map();
  for (const rule of data.rules) sources.set(rule[of], [...(sources.get(rule[of]) ?? []), rule.name]);
  const few = [...sources].sort(([, a], [, b]) => a.length - b.length), [most] = few.pop();
  const from = [...few.map(([source, names]) => `${source} (${names.join(', ')})`), most + (few.length > 0 ? ' (all others)' : '')].join('; ');
  return `Where the learning rates come from: ${from}. All other hyperparameters are the rules' own defaults; nobody tuned them.`;
}

// ---- The paths

/** f = c is an ellipse with the half axes √(20c) and √c; steps of ½ in √c put the rings at equal distances. */
const rings = Array.from({ length: 6 }, (_, n) => (n + 1) / 2).map(root => Array.from({ length: 97 }, (_, i) => {
  const angle = 2 * Math.PI * i / 96;
  return [root * Math.sqrt(20) * Math.cos(angle), root * Math.sin(angle)];
}));

function panel(element, trajectories) {
  const step = Number(at('step').value), xInterval = element.clientWidth < 200 ? 4 : 2;
  return {
    grid: { left: 26, right: 8, top: 8, bottom: 22 },
    tooltip: tooltip({
      formatter: ({ seriesName, color, dataIndex, value: [x, y, f] }) =>
        tip([dot(color), ` ${seriesName}, step ${dataIndex}`], [['x', number(x)], ['y', number(y)], ['f', number(f)]]),
    }),
    xAxis: axis({ type: 'value', min: -8, max: 8, interval: xInterval, splitLine: { show: false } }),
    yAxis: axis({ type: 'value', min: -3, max: 3, interval: 1, splitLine: { show: false } }),
    series: [
      ...rings.map(ring => ({
        type: 'line', data: ring, silent: true, showSymbol: false, z: 1, lineStyle: { color: colour('ring'), width: 1 },
        blur: { lineStyle: { opacity: 1 } },
      })),
      {
        type: 'scatter', data: [[0, 0]], silent: true, z: 1, symbolSize: 11, itemStyle: { color: colour('quiet') }, blur: { itemStyle: { opacity: 1 } },
        symbol: 'path://M-1-5H1V-1H5V1H1V5H-1V1H-5V-1H-1Z',
      },
      ...trajectories.map(({ rule, points }) => ({
        type: 'line', name: rule, z: 2, color: data.colours[rule], showAllSymbol: true,
        data: points.slice(0, step + 1).map(({ x, y, f }) => [x, y, f]),
        symbol: 'circle', symbolSize: (_, { dataIndex }) => (dataIndex === Math.min(step, points.length - 1) ? 9 : 5),
        lineStyle: { width: 1.5 }, emphasis: { focus: 'series' }, blur: { itemStyle: { opacity: 0.15 }, lineStyle: { opacity: 0.15 } },
      })),
    ],
  };
}

function panels() {
  const together = at('together').checked, place = at('panels');
  clearCharts(place);
  place.className = together ? 'together' : '';
  const add = trajectories => {
    const plot = make('div', { class: 'panel' });
    const caption = trajectories.flatMap(({ rule, settings }) =>
      [make('span', {}, swatch(rule), ` ${rule}`), ' ', make('span', { class: 'settings' }, settings), '\u2003']);
    place.append(make('figure', trajectories.length === 1 ? { 'data-rule': trajectories[0].rule } : {}, make('figcaption', {}, ...caption), plot,
      make('div', { class: 'places' }, ...trajectories.map(({ rule }) => make('p', { class: 'where', 'data-path': rule })))));
    chart(plot, 'Path of ' + trajectories.map(({ rule }) => rule).join(', ') + ' over the contours of f', element => panel(element, trajectories));
  };
  const trajectories = shown(first(data.trajectories));
  if (trajectories.length === 0) place.append(make('p', { class: 'note' }, 'No rule is shown.'));
  else if (together) add(trajectories);
  else if (!many) trajectories.forEach(trajectory => add([trajectory]));
  else {
    for (const { name, rules } of families) {
      const own = trajectories.filter(({ rule }) => rules.includes(rule));
      if (own.length > 0) place.append(make('h3', {}, name));
      own.forEach(trajectory => add([trajectory]));
    }
  }
  where();
}

/** What the dots say, in words: for keyboards, screen readers and thumbs. */
function where() {
  const step = Number(at('step').value);
  at('step-shown').textContent = step;
  for (const line of document.querySelectorAll('.where')) {
    const { rule, points } = data.trajectories.find(({ rule }) => rule === line.dataset.path);
    const { x, y, f } = points[Math.min(step, points.length - 1)];
    line.textContent = [...(at('together').checked ? [rule] : []), `x ${number(x)}`, `y ${number(y)}`, `f ${number(f)}`]
      .map(part => part.replace(' ', '\u00a0')).join('   ');
  }
}

function stepChanged() {
  where();
  [...charts.keys()].filter(element => element.className === 'panel').forEach(draw);
}

function paths() {
  const slider = at('step'), play = at('play');
  slider.max = slider.value = highest(data.trajectories.map(({ points }) => points.length - 1));
  slider.addEventListener('input', stepChanged);
  at('together').addEventListener('change', panels);
  let timer = null;
  const stop = () => {
    clearInterval(timer);
    timer = null;
    play.textContent = 'Play';
  };
  play.addEventListener('click', () => {
    if (timer) return stop();
    if (slider.value === slider.max) slider.value = 0;
    play.textContent = 'Pause';
    stepChanged();
    timer = setInterval(() => {
      slider.value = Number(slider.value) + 1;
      stepChanged();
      if (slider.value === slider.max) stop();
    }, 250);
  });
  panels();
  at('paths-note').textContent = (several ? sameBits() + ' ' : '') + rates('pathRate');
}

/** Whether the paths of other devices are the first one's, float by float: JSON has every digit of them. */
function sameBits() {
  const paths = new Map(first(data.trajectories).map(({ rule, points }) => [rule, JSON.stringify(points)]));
  const astray = data.trajectories.filter(({ rule, points }) => JSON.stringify(points) !== paths.get(rule));
  return astray.length === 0
    ? `These are the paths on ${data.devices[0]}. On ${others} they are the same, bit for bit.`
    : `These are the paths on ${data.devices[0]}. Others: ${astray.map(({ rule, device }) => `${rule} on ${device}`).join(', ')}.`;
}

// ---- The curves

/**
 * The median of the window of steps around each one: as many before it as there are, and at most as many after it, so that the first is itself.
 * Not the mean, which one step of 400 among 51 of 2 would raise to 10 for as long as it is in the window. A step without a number stays without
 * one, and does not spoil its neighbours.
 */
function smooth(values, window) {
  const sorted = [];
  const place = x => {
    let from = 0, to = sorted.length;
    while (from < to) {
      const middle = (from + to) >> 1;
      if (sorted[middle] < x) from = middle + 1; else to = middle;
    }
    return from;
  };
  let first = 0, end = 0;
  return values.map((value, i) => {
    const reach = Math.min(window >> 1, i);
    for (; end < Math.min(values.length, i + reach + 1); end++) {
      if (values[end] !== null) sorted.splice(place(values[end]), 0, values[end]);
    }
    for (; first < i - reach; first++) {
      if (values[first] !== null) sorted.splice(place(values[first]), 1);
    }
    const n = sorted.length;
    return value === null ? null : (sorted[(n - 1) >> 1] + sorted[n >> 1]) / 2;
  });
}

/** What a training's line is called, and whether it is dashed: the first device's has the rule's name alone. */
const line = (rule, device) => ({
  rule, colour: data.colours[rule], ...(device === data.devices[0] ? { name: rule } : { name: `${rule}, ${device}`, dashed: true }),
});

/** Of all the lines, those of a group of rules, and of the others the first device's, in grey and without what stands at its end. */
function amid(family, lines) {
  if (!family) return lines;
  return lines.map(line => (family.rules.includes(line.rule) ? line : { ...line, grey: true, faint: undefined, marks: false }))
    .filter(({ dashed, grey }) => !dashed || !grey);
}

const named = lines => lines.filter(({ dashed, grey }) => !dashed && !grey);

const numbered = values => values.map((y, i) => [i + 1, y]);

function losses(element, family) {
  const window = Number(at('window').value), logX = at('loss-log-x').checked, logY = at('loss-log-y').checked;
  const lines = shown(data.trainings).map(({ rule, device, losses }) => ({
    ...line(rule, device),
    points: positive(numbered(smooth(losses, window)), logY),
    faint: at('raw').checked ? positive(numbered(losses), logY) : undefined,
  }));
  const { yMin, yMax } = bounds(lines, logY);
  const raw = shown(data.trainings).map(({ rule, device, losses }, n) =>
    ({ name: lines[n].name, points: numbered(at('raw').checked ? losses : smooth(losses, window)) }));
  at('window-shown').textContent = window;
  at('losses-note').textContent = (several ? `Solid: ${data.devices[0]}. Dashed: ${others}. ` : '')
    + cutOff(raw, { yMin, yMax, xName: 'step', what: 'step', format: number });
  const drawn = amid(family, lines), names = clear(element, named(drawn), { logY, yMin, yMax });
  return curves(element, { lines: drawn, names, xName: 'step', logX, logY, yMin, yMax, format: number, axisFormat: logY ? decade : number });
}

function accuracies(element, family) {
  const best = highest(finite(data.table.map(row => row.testAccuracy)));
  const lines = shown(data.trainings).map(({ rule, device, accuracies }) => ({
    ...line(rule, device),
    points: accuracies.map(({ at, value }) => [at, value]),
    marks: true,
  }));
  // The end of the race is decided among the last percents; how a rule gets there is seen from 0.
  const yMin = at('whole').checked ? 0 : Math.max(0, Math.floor(20 * best - 3) / 20);
  at('accuracies-note').textContent = cutOff(lines, { yMin, yMax: 1, xName: 'step', what: 'evaluation', format: percents });
  const drawn = amid(family, lines);
  return curves(element, {
    lines: drawn, names: clear(element, named(drawn), { yMin, yMax: 1 }), xName: 'step', yMin, yMax: 1,
    interval: yMin > 0 ? 0.05 : 0.2, format: percents, axisFormat: x => percent(x),
  });
}

function batching(element) {
  const logX = at('batching-log-x').checked, logY = at('batching-log-y').checked;
  const lines = data.batchingRuns.map(({ name, losses }, n) => ({
    name,
    rule: name,
    colour: colour('batching-' + (n + 1)),
    points: positive(losses.map(({ at, value }) => [at, value]), logY).filter(([x]) => !logX || x > 0),
  }));
  const { yMin, yMax } = bounds(lines, logY);
  const raw = data.batchingRuns.map(({ name, losses }) => ({ name, points: losses.map(({ at, value }) => [at, value]) }));
  at('batching-note').textContent = cutOff(raw, { yMin, yMax, xName: 'sample', what: 'evaluation', format: number });
  return curves(element, {
    lines, xName: 'samples seen', logX, logY, yMin, yMax, format: number, axisFormat: logY ? decade : number,
  });
}

const refill = [];

/** One chart, or where many rules are shown one for each group of them, all on one scale; high enough for the names at the ends of the lines. */
function curveCharts(id, label, options, controls, grouped) {
  const place = at(id + '-charts');
  const add = family => {
    const figure = make('figure', {}), element = make('div', { class: 'chart' });
    if (family) figure.append(make('figcaption', {}, make('h3', {}, family.name)));
    figure.append(element);
    place.append(figure);
    const names = grouped ? (family?.rules ?? [...boxes.keys()]).filter(rule => !hidden.has(rule)).length : 0;
    element.style.minHeight = `${margins.top + margins.bottom + 15 * names}px`;
    chart(element, label + (family ? ', ' + family.name : ''), element => options(element, family));
  };
  const fill = () => {
    clearCharts(place);
    const apart = grouped && many && at(id + '-apart').checked;
    const drawn = apart ? families.filter(({ rules }) => rules.some(rule => !hidden.has(rule))) : [];
    place.classList.toggle('apart', drawn.length > 1);
    for (const family of drawn.length > 1 ? drawn : [undefined]) add(family);
  };
  fill();
  for (const control of controls) {
    at(control).addEventListener('input', () => [...charts.keys()].filter(element => place.contains(element)).forEach(draw));
  }
  if (!grouped) return;
  refill.push(fill);
  at(id + '-apart').addEventListener('change', fill);
}

// ---- The precisions

/** A function of the seeds' losses at each step, each smoothed; null where a seed has none. */
function ofSeeds({ trainings }, combine) {
  const smoothed = trainings.map(({ losses }) => smooth(losses, 51));
  return numbered(smoothed[0].map((_, step) => {
    const values = smoothed.map(losses => losses[step]);
    return values.every(Number.isFinite) ? combine(values) : null;
  }));
}

/** The mean of the seeds of each precision, before the spread of the first. */
function precisions(element) {
  const lines = data.precisions.map((runs, n) => ({
    name: runs.name, rule: runs.name, colour: data.precisionTable[n].colour,
    points: positive(ofSeeds(runs, values => values.reduce((a, b) => a + b) / values.length), true),
  }));
  const low = ofSeeds(data.precisions[0], lowest), high = ofSeeds(data.precisions[0], highest);
  const bound = bounds([...lines, { points: low }, { points: high }], true);
  const options = curves(element, {
    lines, names: clear(element, lines, { logY: true, ...bound }), xName: 'step', logY: true, ...bound, format: number, axisFormat: decade,
  });
  if (!options.series) return options;
  // Along the highest and back along the lowest; the base of the area runs out and back over itself, and so encloses nothing.
  options.series.push({
    id: 'spread', type: 'line', data: [...high, ...low.reverse()], silent: true, showSymbol: false, z: 1, lineStyle: { width: 0 },
    color: lines[0].colour, areaStyle: { opacity: 0.25 },
  });
  return options;
}

function precisionRows() {
  const [{ rule, trainings: [{ settings, losses }] }] = data.precisions, seeds = data.precisions[0].trainings.length;
  at('precisions').querySelector('tbody').replaceChildren(...data.precisionTable.map(row => make('tr', {},
    make('th', { scope: 'row' }, dot(row.colour), row.name),
    ...[number(row.bytes), number(row.finalLoss), `${number(row.lowestLoss)}–${number(row.highestLoss)}`, orDash(percents)(row.testAccuracy),
      seeds === 1 ? '–' : row.withinFirst ? 'yes' : 'no'].map((text, n) => make('td', { class: n === 2 ? 'number wide' : 'number' }, text)))));
  at('precisions-note').textContent = `${rule}, ${settings}; ${integer(losses.length)} steps from ${seeds === 1 ? 'one seed' : `each of ${seeds} seeds`} of weights and batches, `
    + 'the same for every precision. Bytes: of a weight and its state. Final loss: the mean over the last 100 steps, and over the seeds. '
    + `Within ${data.precisions[0].name}’s: whether that mean lies between the lowest and the highest seed of ${data.precisions[0].name}, which are `
    + 'the band of the chart. Its lines are means over the seeds, each the median of the 51 steps around a step.';
}

// ---- The digits and the facts

function digit({ label, columns, pixels }) {
  const greys = atob(pixels), rows = greys.length / columns;
  const canvas = make('canvas', { width: columns, height: rows, role: 'img', 'aria-label': `a handwritten ${label}` });
  const context = canvas.getContext('2d'), image = context.createImageData(columns, rows);
  for (let i = 0; i < greys.length; i++) image.data.set(Array(3).fill(255 - greys.charCodeAt(i)).concat(255), 4 * i);
  context.putImageData(image, 0, 0);
  return make('figure', {}, canvas, make('figcaption', {}, label));
}

const entry = (name, value) => [make('dt', {}, ...[name].flat()), make('dd', {}, value)];

function facts() {
  const { device, data: set, network, seed, versions, time, command } = data.facts;
  at('lead').textContent = [network, set, device].filter(Boolean).join(' · ');
  at('facts').append(...Object.entries({
    Device: device, Data: set, Network: network, Seed: String(seed), Versions: versions, Time: time,
    Command: make('code', {}, command),
  }).flatMap(([name, value]) => entry(name, value)));
}

// ---- All together; a part that the comparison left out is left out here

function section(id, list, fill) {
  if (list.length === 0) return;
  at(id).hidden = false;
  fill();
}

legend();
at('rules').hidden = data.rules.length === 0;
facts();
section('table', data.table, () => {
  at('device-heading').hidden = !several;
  headings();
  rows();
  at('table-note').textContent = rates('trainingRate');
});
section('precisions', data.precisions, () => {
  precisionRows();
  curveCharts('precisions', 'Training loss of each precision against the step', precisions, [], false);
});
section('paths', data.trajectories, paths);
section('losses', data.trainings, () => curveCharts('losses', 'Training loss of each rule against the step', losses,
  ['window', 'raw', 'loss-log-x', 'loss-log-y'], true));
section('accuracies', data.trainings, () => curveCharts('accuracies', 'Test accuracy of each rule against the step', accuracies,
  ['whole'], true));
section('batching', data.batchingRuns, () => {
  curveCharts('batching', 'Loss against the number of samples seen', batching, ['batching-log-x', 'batching-log-y'], false);
  at('batching-settings').append(...data.batchingRuns.flatMap(({ name, settings }, n) =>
    entry([make('span', { class: 'swatch', style: `--colour: var(--batching-${n + 1})` }), ' ' + name], settings)));
});
section('digits', data.digits, () => at('sheet').append(...data.digits.map(digit)));

// Charts take their colours and their sizes when they are drawn; these are the moments at which the style sheet changes its mind.
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', drawAll);

function paper(on) {
  document.documentElement.classList.toggle('paper', on);
  for (const { drawing } of charts.values()) drawing.resize();
  drawAll();
}

addEventListener('beforeprint', () => paper(true));
addEventListener('afterprint', () => paper(false));
