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
    return { layout: {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: colour("--ink"), family: getComputedStyle(document.body).fontFamily, size: 12 },
      colorscale: { sequential: [[0, colour("--card")], [1, colour("--heat")]] },
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

  const config = { responsive: true, displayModeBar: false };
  const plots = [...document.querySelectorAll("script[data-chart]")].map((source) => {
    const place = document.getElementById(source.dataset.chart);
    const figure = JSON.parse(source.textContent);
    Plotly.newPlot(place, figure.data, fitted(figure, place.clientWidth), config);
    return place;
  });
  dark.addEventListener("change", () => plots.forEach((place) => Plotly.relayout(place, { template: template() })));
})();
