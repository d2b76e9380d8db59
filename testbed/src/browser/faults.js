// What is wrong with a page as it is shown now; a list of sentences.
(() => {
  const faults = new Set();
  const root = document.documentElement;
  const TOLERANCE = 1.5;
  // The id of a key.
  const LONG_WORD = 20;

  const nameOf = (element) => {
    const classes = (element.getAttribute('class') ?? '').trim();
    return element.tagName.toLowerCase() + classes.replace(/(^|\s+)(?=\S)/g, '.');
  };
  const isVisible = (element) => element.checkVisibility({
    contentVisibilityAuto: true, opacityProperty: true, visibilityProperty: true,
  });
  // Said to those who hear the page, and nothing for those who see it.
  const isForEarsOnly = (element) => element.closest('.for-ears') !== null;

  if (root.scrollWidth > root.clientWidth) {
    faults.add(`the page scrolls sideways: it is ${root.scrollWidth} wide on a screen of ${root.clientWidth}`);
  }

  // Where text is, and what it must not leave.
  const texts = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    const parent = node.parentElement;
    if (!node.data.trim() || parent.closest('title, style, script, iframe')) continue;
    if (!isVisible(parent) || isForEarsOnly(parent)) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const boxes = [...range.getClientRects()].filter((box) => box.width > 0 && box.height > 0);
    if (boxes.length) texts.push({ whole: node.data.trim(), said: node.data.trim().slice(0, 40), parent, boxes });
  }

  const sticksOut = (box, frame, across) => across
    ? box.left < frame.left - TOLERANCE || box.right > frame.right + TOLERANCE
    : box.top < frame.top - TOLERANCE || box.bottom > frame.bottom + TOLERANCE;

  for (const { said, parent, boxes } of texts) {
    let sideways = true;
    let upright = true;
    let isOwnBlock = true;
    for (let at = parent; at && (sideways || upright); at = at.parentElement) {
      const style = getComputedStyle(at);
      const isDrawing = at instanceof SVGElement;
      if (isDrawing ? at.tagName !== 'svg' : ['inline', 'contents'].includes(style.display)) continue;
      const frame = at === root ? { left: 0, right: root.clientWidth, top: -Infinity, bottom: Infinity } : at.getBoundingClientRect();
      // What scrolls by itself shows all of it, sooner or later.
      sideways &&= !['auto', 'scroll'].includes(style.overflowX);
      upright &&= !['auto', 'scroll'].includes(style.overflowY);
      const cutsSideways = at === root || isOwnBlock || style.overflowX !== 'visible';
      const cutsUpright = style.overflowY !== 'visible';
      isOwnBlock = false;
      if (sideways && cutsSideways && boxes.some((box) => sticksOut(box, frame, true))) {
        faults.add(`text sticks out of ${nameOf(at)} sideways: ${said}`);
      }
      if (upright && cutsUpright && boxes.some((box) => sticksOut(box, frame, false))) {
        faults.add(`text is cut off at the height of ${nameOf(at)}: ${said}`);
      }
    }
  }

  // A column so narrow that it breaks words which are not even long.
  for (const { said, whole, boxes, parent } of texts) {
    const isShortWord = whole.length <= LONG_WORD && !/[\s-]/.test(whole);
    const lines = new Set(boxes.map((box) => Math.round(box.top)));
    if (isShortWord && lines.size > 1) faults.add(`a word is broken in ${nameOf(parent)}: ${said}`);
  }

  // Text over text, where it is placed by hand.
  for (const drawing of document.querySelectorAll('svg')) {
    const own = texts.filter(({ parent }) => drawing.contains(parent));
    own.forEach((one, index) => own.slice(index + 1).forEach((other) => {
      const [a, b] = [one.boxes[0], other.boxes[0]];
      const isOver = a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
      if (isOver) faults.add(`text lies over text in ${nameOf(drawing)}: ${one.said} and ${other.said}`);
    }));
  }

  // Contrast, as WCAG 2 reckons it.
  const channels = (color) => (color.match(/[\d.]+/g) ?? []).map(Number);
  const luminance = (color) => {
    const [r, g, b] = channels(color).map((value) => value / 255)
      .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrastOf = (one, other) => {
    const [light, dark] = [luminance(one), luminance(other)].sort((a, b) => b - a);
    return (light + 0.05) / (dark + 0.05);
  };
  const probe = document.body.appendChild(document.createElement('i'));
  probe.style.backgroundColor = 'Canvas';
  const canvas = getComputedStyle(probe).backgroundColor;
  probe.remove();
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = getComputedStyle(at).backgroundColor;
      if ((channels(color)[3] ?? 1) > 0) return color;
    }
    return canvas;
  };
  for (const { said, parent } of texts) {
    const style = getComputedStyle(parent);
    const color = parent instanceof SVGElement ? style.fill : style.color;
    const contrast = contrastOf(color, behind(parent));
    const size = parseFloat(style.fontSize);
    const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (contrast < (isLarge ? 3 : 4.5)) {
      faults.add(`text is hard to see, at a contrast of ${contrast.toFixed(2)}, in ${nameOf(parent)}: ${said}`);
    }
  }

  // Shapes that carry a meaning: WCAG 1.4.11.
  for (const shape of document.querySelectorAll('svg rect, .legend i')) {
    const style = getComputedStyle(shape);
    const color = shape instanceof SVGElement ? style.fill : style.backgroundColor;
    const contrast = contrastOf(color, behind(shape.parentElement));
    if (isVisible(shape) && contrast < 3) {
      faults.add(`a shape is hard to see, at a contrast of ${contrast.toFixed(2)}: ${nameOf(shape)}`);
    }
  }

  // What those need who hear the page.
  let level = 0;
  for (const heading of document.querySelectorAll('h1, h2, h3, h4, h5, h6')) {
    const own = Number(heading.tagName[1]);
    if (own > level + 1) faults.add(`${nameOf(heading)} skips a level of headings: ${heading.textContent.trim()}`);
    level = own;
  }
  for (const table of document.querySelectorAll('table')) {
    if (!table.caption?.textContent.trim()) faults.add(`a table without a caption: ${table.textContent.trim().slice(0, 40)}`);
  }
  for (const drawing of document.querySelectorAll('svg')) {
    if (!drawing.getAttribute('aria-label')) faults.add('a drawing that nothing describes');
  }
  const ids = [...document.querySelectorAll('[id]')].map((element) => element.id);
  for (const link of document.querySelectorAll('a[href^="#"]')) {
    if (!ids.includes(link.getAttribute('href').slice(1))) faults.add(`a link to nowhere: ${link.textContent.trim()}`);
  }
  return [...faults];
})()
