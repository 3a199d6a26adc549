"use strict";
// Draws the charts, and replaces what has changed on the page every few seconds.

const form = document.getElementById("filters");
const pause = document.getElementById("pause");
const refreshMilliseconds = 1000 * Number(document.body.dataset.refreshSeconds);
let paused = false;
let asked = 0;
let drawn = {};

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function query() {
  return new URLSearchParams([...new FormData(form)].filter(([, value]) => value !== "")).toString();
}

function style(chart) {
  const ink = colour("--ink"), grid = colour("--grid"), narrow = window.innerWidth < 640;
  const data = chart.data.map((trace) => {
    const own = trace.ink ? ink : colour(`--c${trace.color % 8}`);
    const dash = trace.color === undefined || trace.ink ? undefined : ["solid", "dash", "dot", "dashdot"][trace.color % 4];
    const {color, ink: _, ...rest} = trace;
    return {
      ...rest,
      line: {color: own, ...(rest.stackgroup ? {} : {dash}), ...rest.line},
      marker: {color: own, ...rest.marker},
      ...(rest.stackgroup ? {fillcolor: own} : {}),
    };
  });
  const axis = {gridcolor: grid, zerolinecolor: grid, linecolor: grid, automargin: true};
  const layout = {
    font: {family: "system-ui, sans-serif", size: narrow ? 11 : 12, color: ink},
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    margin: {l: 8, r: 12, t: 8, b: 8}, showlegend: true,
    legend: {orientation: "h", yanchor: "bottom", y: 1.02, x: 0},
    hoverlabel: {bgcolor: colour("--card"), font: {color: ink}, bordercolor: grid, namelength: -1},
    ...chart.layout,
    xaxis: {...axis, ...chart.layout.xaxis, fixedrange: true},
    yaxis: {...axis, ...chart.layout.yaxis, fixedrange: true},
  };
  return [data, layout];
}

function draw(charts, again = false) {
  for (const place of document.querySelectorAll("[data-chart]")) {
    const name = place.dataset.chart, chart = charts[name], text = JSON.stringify(chart);
    if (!again && drawn[name] === text) continue;
    drawn[name] = text;
    if (chart === undefined || !chart.data.length) {
      if (place.classList.contains("js-plotly-plot")) Plotly.purge(place);
      place.replaceChildren();
      continue;
    }
    Plotly.react(place, ...style(chart), {displayModeBar: false, responsive: true});
  }
}

function replace(html) {
  const fresh = new DOMParser().parseFromString(html, "text/html");
  const curves = (of) => [...of.querySelectorAll("[data-curve] h2")].map((each) => each.textContent).join("\n");
  if (curves(fresh) !== curves(document)) {  // other objectives are reported now
    location.reload();
    return;
  }
  for (const part of fresh.querySelectorAll("[data-live]")) {
    const old = document.getElementById(part.id);
    if (old.innerHTML !== part.innerHTML && !old.contains(document.activeElement.closest("[data-live] *"))) {
      old.replaceChildren(...part.childNodes);
    }
  }
}

function say(trouble) {
  const top = document.getElementById("live-top");
  top.querySelector(".banner")?.remove();
  const banner = document.createElement("p");
  banner.className = "banner";
  banner.setAttribute("role", "alert");
  banner.textContent = `The page cannot be refreshed (${trouble}); it is tried again.`;
  top.prepend(banner);
}

async function refresh() {
  const number = ++asked;
  try {
    const answer = await fetch(`live?${query()}`, {headers: {accept: "application/json"}});
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const {html, charts} = await answer.json();
    if (number !== asked) return;  // the filters have changed meanwhile
    document.body.dataset.charts = JSON.stringify(Object.keys(charts));
    replace(html);
    draw(charts);
    last = charts;
    document.body.dataset.refreshed = String(number);
  } catch (error) {
    if (number === asked) say(error.message);
  }
}

let last = {};
form.addEventListener("change", (event) => {
  if (event.target.name === "router") form.submit();  // another router has other arms, tags and objectives
  history.replaceState(null, "", `?${query()}`);
  refresh();
});
form.addEventListener("submit", (event) => { event.preventDefault(); history.replaceState(null, "", `?${query()}`); refresh(); });
pause.hidden = false;
document.getElementById("apply").hidden = true;
pause.addEventListener("click", () => {
  paused = !paused;
  pause.setAttribute("aria-pressed", String(paused));
  pause.textContent = paused ? "Resume updates" : "Pause updates";
  if (!paused) refresh();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw(last, true));
setInterval(() => { if (!paused && !document.hidden) refresh(); }, refreshMilliseconds);
refresh();
