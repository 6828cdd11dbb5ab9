"use strict";
(() => {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const touch = window.matchMedia("(pointer: coarse)").matches;

  // The page's colours, as a Plotly template: figures carry none of their own for text, axes and ground.
  function template() {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const axis = {
      automargin: true, gridcolor: colour("--line"), linecolor: colour("--line"), zerolinecolor: colour("--line"),
      tickfont: { color: colour("--muted") }, title: { standoff: 8, font: { color: colour("--muted") } },
    };
    const heat = [[0, colour("--card")], [1, colour("--heat")]];
    return { layout: {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: colour("--ink"), family: getComputedStyle(document.body).fontFamily, size: 12 },
      colorscale: { sequential: heat, sequentialminus: heat, diverging: heat },
      hoverlabel: { bgcolor: colour("--card"), bordercolor: colour("--muted"), font: { color: colour("--ink") }, align: "left" },
      xaxis: axis, yaxis: axis, dragmode: touch ? false : "zoom",
    } };
  }

  // A legend takes from its figure: on a narrow screen it stands above, and its lines make the figure higher.
  function fitted(figure, width) {
    const layout = { ...figure.layout, template: template() };
    const named = figure.data.filter((trace) => trace.name && trace.showlegend !== false).length;
    if (layout.showlegend === false || named < 2) return layout;
    if (width < 480) layout.legend = { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" };
    if (layout.legend.orientation !== "h") return layout;
    const lines = Math.ceil(named / Math.max(1, Math.floor(width / 130)));
    return { ...layout, height: layout.height + 20 * (lines - 1) };
  }

  // One chart at a time, from the top, so that the page can be read and scrolled while the others are drawn.
  const waiting = [...document.querySelectorAll("script[data-chart]")];
  const plots = [];
  function draw() {
    const source = waiting.shift();
    if (!source) return;
    const place = document.getElementById(source.dataset.chart);
    const figure = JSON.parse(source.textContent);
    Plotly.newPlot(place, figure.data, fitted(figure, place.clientWidth), { responsive: true, displayModeBar: false });
    plots.push(place);
  }
  function drawNext() {
    draw();
    if (waiting.length) setTimeout(drawNext);
  }
  const recolour = () => plots.forEach((place) => Plotly.relayout(place, { template: template() }));
  dark.addEventListener("change", recolour);

  // Paper shows everything, in its own colours.
  window.addEventListener("beforeprint", () => {
    while (waiting.length) draw();
    document.querySelectorAll("details").forEach((each) => { each.open = true; });
    recolour();
  });
  window.addEventListener("afterprint", recolour);

  function make(name, facts, ...inside) {
    const element = Object.assign(document.createElement(name), facts);
    element.append(...inside);
    return element;
  }

  // A table of many rows: made from its data a page at a time, sorted by a click on a column, filtered by words and choices.
  function sheet(place) {
    const { columns, rows, numeric, choices } = JSON.parse(place.querySelector("script").textContent);
    const SIZE = 20, collator = new Intl.Collator("en", { numeric: true });
    let sorted = 0, order = 1, page = 0, found = rows, texts = null;

    const shown = (value, column) => {
      if (value === null || value === "") return "\u2013";
      if (!numeric[column] || column === 0) return String(value);
      if (Number.isInteger(value) || Math.abs(value) >= 1000) return Math.round(value).toLocaleString("en");
      return String(Number(value.toPrecision(4)));
    };
    const words = make("input", { type: "search", placeholder: "words, all of them", oninput: filter });
    const selects = columns.flatMap((name, column) => {
      if (!choices[column]) return [];
      const values = [...new Set(rows.map((row) => row[column]))].sort(collator.compare);
      const options = values.map((value, place) => make("option", { value: String(place) }, shown(value, column)));
      const select = make("select", { onchange: filter }, make("option", { value: "" }, "any"), ...options);
      return [{ name, column, values, select }];
    });
    const heads = columns.map((name, column) =>
      make("th", { scope: "col", className: numeric[column] ? "numeric" : "" },
        make("button", { type: "button", onclick: () => sort(column) }, name)));
    const body = make("tbody");
    const count = make("output");
    const back = make("button", { type: "button", onclick: () => turn(-1) }, "Previous");
    const forth = make("button", { type: "button", onclick: () => turn(1) }, "Next");

    function filter() {
      const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
      texts ??= new Map(rows.map((row) => [row, row.join(" ").toLowerCase()]));
      const chosen = selects.filter(({ select }) => select.value !== "");
      found = rows.filter((row) => wanted.every((word) => texts.get(row).includes(word))
        && chosen.every(({ column, values, select }) => row[column] === values[Number(select.value)]));
      arrange();
    }
    function sort(column) {
      order = column === sorted ? -order : 1;
      sorted = column;
      arrange();
    }
    function arrange() {
      const missing = (row) => row[sorted] === null || row[sorted] === "";
      const compare = numeric[sorted] ? (a, b) => a - b : collator.compare;
      found = [...found].sort((a, b) => missing(a) - missing(b) || order * compare(a[sorted], b[sorted]) || a[0] - b[0]);
      page = 0;
      show();
    }
    function turn(by) {
      page += by;
      show();
    }
    function show() {
      const first = page * SIZE, some = found.slice(first, first + SIZE);
      body.replaceChildren(...some.map((row) => make("tr", {}, ...row.map((value, column) =>
        make(column ? "td" : "th", { className: numeric[column] ? "numeric" : "", title: value ?? "" }, shown(value, column))))));
      heads.forEach((head, column) => {
        if (column === sorted) head.setAttribute("aria-sort", order > 0 ? "ascending" : "descending");
        else head.removeAttribute("aria-sort");
      });
      const [all, those] = [rows.length, found.length].map((length) => length.toLocaleString("en"));
      const among = found.length < rows.length ? ` found among ${all}` : "";
      count.textContent = some.length ? `rows ${first + 1} to ${first + some.length} of ${those}${among}` : `none of ${all}`;
      back.disabled = page === 0;
      forth.disabled = first + SIZE >= found.length;
    }
    place.append(
      make("div", { className: "controls" }, make("label", {}, "search ", words),
        ...selects.map(({ name, select }) => make("label", {}, `${name} `, select)), count, back, forth),
      make("div", { className: "scroll", tabIndex: 0, role: "region", ariaLabel: "All trials" },
        make("table", { className: "broad" }, make("thead", {}, make("tr", {}, ...heads)), body)));
    show();
  }

  document.querySelectorAll(".block.sheet").forEach(sheet);
  drawNext();
})();
