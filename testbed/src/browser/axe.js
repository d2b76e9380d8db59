// What axe-core finds wrong with a page as it is shown now; a list of sentences. Frames are pages of their own.
axe.run(document, { iframes: false, preload: false, resultTypes: ['violations'] }).then(({ violations }) =>
  violations.flatMap(({ id, help, nodes }) => nodes.map(({ html }) => `${help} (axe: ${id}): ${html.slice(0, 100)}`)))
