// Draws the charts of the page from what it carries, in the colours of the reader's theme.
"use strict";
(() => {
  const charts = JSON.parse(document.getElementById("charts").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const THEMES = {
    light: {
      ink: "#1d2126", quiet: "#565d66", line: "#e3e4df", ground: "#fdfdfc",
      series: ["#5f6670", "#1f5fbf", "#b8560a", "#2c7a3f", "#7b4bb3", "#0d7d86", "#b0307a", "#7a6a00"],
    },
    dark: {
      ink: "#e6e7e9", quiet: "#a7adb6", line: "#31353d", ground: "#15171b",
      series: ["#a9b0ba", "#7fb0ff", "#f0a35e", "#78c98a", "#c3a1f2", "#5cc9d1", "#f08cc0", "#d6c65a"],
    },
  };
  const DASHES = [[], [7, 3], [2, 3], [10, 3, 2, 3], [4, 4], [12, 4], [1, 4], [6, 2, 1, 2, 1, 2]];
  const POINTS = ["circle", "rect", "triangle", "rectRot", "crossRot", "star", "cross", "rectRounded"];

  function threeDigits(value) {
    if (value === 0) return "0";
    const size = Math.abs(value);
    return size >= 100 ? String(Math.round(value)) : String(Number(value.toPrecision(3)));
  }
  function scaled(value, scales) {
    let chosen = scales[0];
    for (const scale of scales) if (Math.abs(value) >= scale[0] * 0.9995) chosen = scale;
    return threeDigits(value / chosen[0]) + "\u00a0" + chosen[1];
  }
  function format(value, unit) {
    switch (unit) {
      case "ms": return scaled(value, [[1, "ms"], [1e3, "s"]]);
      case "s": return scaled(value * 1e3, [[1, "ms"], [1e3, "s"]]);
      case "bytes": return scaled(value, [[1, "B"], [1e3, "kB"], [1e6, "MB"], [1e9, "GB"], [1e12, "TB"]]);
      case "times": return threeDigits(value) + "×";
      case "percent": return threeDigits(value) + "\u00a0%";
      default: return threeDigits(value);
    }
  }

  // What a bar is filled with: told apart without its colour, too.
  function fill(context, index, colour, ground) {
    const kind = index % 6;
    if (kind === 0) return colour;
    const size = 8;
    const tile = document.createElement("canvas");
    tile.width = tile.height = size;
    const draw = tile.getContext("2d");
    draw.fillStyle = colour;
    draw.fillRect(0, 0, size, size);
    draw.strokeStyle = draw.fillStyle = ground;
    draw.lineWidth = 1.5;
    draw.beginPath();
    if (kind === 1) {
      for (const start of [-size, 0, size]) { draw.moveTo(start, size); draw.lineTo(start + size, 0); }
    } else if (kind === 2) {
      draw.moveTo(0, size / 2); draw.lineTo(size, size / 2);
    } else if (kind === 3) {
      draw.arc(size / 2, size / 2, 1.6, 0, 2 * Math.PI); draw.fill(); draw.beginPath();
    } else if (kind === 4) {
      draw.moveTo(size / 2, 0); draw.lineTo(size / 2, size);
    } else {
      for (const start of [-size, 0, size]) { draw.moveTo(start, 0); draw.lineTo(start + size, size); }
    }
    draw.stroke();
    return context.createPattern(tile, "repeat");
  }

  // Series keep their colours from chart to chart.
  const systems = ["overlayfs"];
  function place(chart, series) {
    if (!chart.systems) return chart.series.indexOf(series);
    if (!systems.includes(series.name)) systems.push(series.name);
    return systems.indexOf(series.name);
  }

  function isBars(chart) { return chart.kind === "bars" || chart.kind === "stacked"; }

  function dataset(chart, series, theme, context) {
    const index = place(chart, series);
    const colour = theme.series[index % theme.series.length];
    if (isBars(chart)) {
      return {
        label: series.name, data: series.values, backgroundColor: fill(context, index, colour, theme.ground),
        borderColor: colour, borderWidth: 1, maxBarThickness: 22,
      };
    }
    const points = series.points.map(([x, y]) => ({ x, y }));
    const lines = (chart.kind === "steps" || chart.kind === "lines") && !series.mark;
    return {
      label: series.name, data: points, showLine: lines, stepped: chart.kind === "steps" ? "before" : false,
      borderColor: series.mark ? theme.ink : colour, backgroundColor: series.mark ? theme.ink : colour,
      borderDash: series.mark ? [] : DASHES[(index + DASHES.length - 1) % DASHES.length], borderWidth: chart.kind === "points" ? 1.2 : 2,
      pointStyle: series.mark ? "star" : POINTS[index % POINTS.length],
      pointRadius: series.mark ? 7 : chart.kind === "lines" ? 5 : chart.kind === "points" ? 2.8 : 0,
      pointHitRadius: 8, fill: false,
    };
  }

  // A logarithmic axis as long as what it shows: the library's would begin at a power of ten.
  function range(values) {
    const positive = values.filter((value) => value > 0);
    return positive.length === 0 ? {} : { min: Math.min(...positive) / 1.12, max: Math.max(...positive) * 1.12 };
  }

  function scale(axis, values, theme, narrow) {
    const limits = axis.logarithmic ? range(values) : {};
    const isWide = limits.max / limits.min > 8;
    const ticks = { color: theme.quiet, maxTicksLimit: narrow ? 5 : 9, maxRotation: 0, autoSkip: true };
    if (axis.unit !== "plain" || axis.logarithmic) {
      ticks.callback = (value) => {
        const digits = value / Math.pow(10, Math.floor(Math.log10(value) + 1e-9));
        const shown = !axis.logarithmic || (!isWide && Math.abs(digits * 10 - Math.round(digits * 10)) < 1e-6) || (narrow ? [1, 3] : [1, 2, 5]).some((d) => Math.abs(digits - d) < 1e-6);
        return shown ? format(value, axis.unit) : null;
      };
    }
    return {
      type: axis.logarithmic ? "logarithmic" : "linear",
      title: { display: axis.title !== "", text: axis.title, color: theme.quiet },
      ticks, ...limits, grid: { color: theme.line, drawBorder: false },
    };
  }

  function scales(chart, theme, narrow) {
    if (!isBars(chart)) {
      const values = (place) => chart.series.flatMap((series) => series.points.map((point) => point[place]));
      const both = { x: scale(chart.x, values(0), theme, narrow), y: scale(chart.y, values(1), theme, narrow) };
      if (chart.kind === "steps") Object.assign(both.y, { min: 0, max: 100 });
      return both;
    }
    const stacked = chart.kind === "stacked";
    return {
      x: Object.assign(scale(chart.y, [], theme, narrow), { beginAtZero: true, stacked }),
      y: { stacked, grid: { display: false, drawBorder: false }, ticks: { color: theme.ink, autoSkip: false } },
    };
  }

  // Lines are shown as lines: how they are dashed tells them apart.
  function legend(chart, theme) {
    const labels = { color: theme.ink, boxWidth: 22 };
    if (isBars(chart)) return labels;
    return Object.assign(labels, {
      usePointStyle: true, pointStyleWidth: chart.kind === "steps" ? 30 : 12,
      generateLabels: (drawn) => Chart.defaults.plugins.legend.labels.generateLabels(drawn).map((label) => {
        const line = chart.kind === "steps" && !chart.series[label.datasetIndex].mark;
        const lineDash = drawn.data.datasets[label.datasetIndex].borderDash;
        return Object.assign(label, line ? { pointStyle: "line", lineWidth: 2, lineDash } : {});
      }),
    });
  }

  function tooltip(chart) {
    return {
      callbacks: {
        label: (item) => {
          const name = item.dataset.label + ": ";
          if (isBars(chart)) return name + format(item.parsed.x, chart.y.unit);
          return name + format(item.parsed.x, chart.x.unit) + ", " + format(item.parsed.y, chart.y.unit);
        },
        title: (items) => (isBars(chart) && items.length > 0 ? items[0].label : ""),
      },
    };
  }

  function height(chart) {
    if (!isBars(chart)) return 330;
    const bars = chart.labels.length * (chart.kind === "stacked" ? 1.6 : chart.series.length + 0.9);
    return Math.max(150, 110 + 17 * bars);
  }

  const drawn = new Map();
  function draw(canvas, isDark) {
    const chart = charts[Number(canvas.dataset.chart)];
    const theme = isDark ? THEMES.dark : THEMES.light;
    const narrow = canvas.parentElement.clientWidth < 480;
    if (drawn.has(canvas)) drawn.get(canvas).destroy();
    canvas.parentElement.style.height = height(chart) + "px";
    const context = canvas.getContext("2d");
    drawn.set(canvas, new Chart(context, {
      type: isBars(chart) ? "bar" : "scatter",
      data: { labels: chart.labels, datasets: chart.series.map((one) => dataset(chart, one, theme, context)) },
      options: {
        animation: false, responsive: true, maintainAspectRatio: false, indexAxis: isBars(chart) ? "y" : "x",
        scales: scales(chart, theme, narrow),
        plugins: {
          legend: {
            position: "top", align: "start",
            labels: legend(chart, theme),
          },
          tooltip: tooltip(chart),
        },
      },
    }));
  }
  function drawAll(isDark) {
    Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
    for (const canvas of document.querySelectorAll("canvas[data-chart]")) draw(canvas, isDark);
  }

  drawAll(dark.matches);
  dark.addEventListener("change", () => drawAll(dark.matches));
  // Paper is white, and has no closed drawers.
  let opened = [];
  window.addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("figure details:not([open])")];
    for (const drawer of opened) drawer.open = true;
    drawAll(false);
  });
  window.addEventListener("afterprint", () => {
    for (const drawer of opened) drawer.open = false;
    drawAll(dark.matches);
  });
})();
