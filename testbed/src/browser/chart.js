// How many keys the visible chart of their ages shows: as its bars' titles say, and as their heights are by its scale.
(() => {
  const chart = [...document.querySelectorAll('.chart svg')].find((svg) => svg.checkVisibility());
  if (!chart) return { said: 0, drawn: 0 };
  const titles = [...chart.querySelectorAll('g > title')].map((title) => title.textContent);
  const said = titles.map((title) => Number(title.match(/: ([\d,]+) keys?$/)[1].replaceAll(',', '')));
  const lines = [...chart.querySelectorAll('line.axis')].map((line) => line.y1.baseVal.value);
  const labels = [...chart.querySelectorAll('text.axis-label')].map((label) => Number(label.textContent.replaceAll(',', '')));
  const keysPerUnit = Math.max(...labels) / (Math.max(...lines) - Math.min(...lines));
  const heights = [...chart.querySelectorAll('rect')].map((rect) => rect.height.baseVal.value);
  const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);
  return { said: sum(said), drawn: Math.round(sum(heights) * keysPerUnit) };
})()
