/** The looks of <live-tally>. Everything is drawn from the text colour, so it fits any page; parts and properties change the rest. */
const css = /* css */ `
:host {
  display: block;
  container-type: inline-size;
  font-variant-numeric: tabular-nums;
  --_track: var(--live-tally-track, color-mix(in srgb, currentcolor 11%, transparent));
  --_muted: var(--live-tally-muted, color-mix(in srgb, currentcolor 74%, transparent));
  --_height: var(--live-tally-bar-height, 0.9em);
  --_radius: var(--live-tally-radius, 0.3em);
  --_gap: var(--live-tally-gap, 1em);
}
:host([hidden]), [hidden] { display: none !important }
p, ul { margin: 0; padding: 0 }
ul { list-style: none; display: grid; gap: var(--_gap) }
.question { font-weight: 700; font-size: 1.25em; line-height: 1.2; margin-block-end: var(--_gap); text-wrap: balance }
.line { display: flex; align-items: baseline; gap: 0.3em 0.8em; margin-block-end: 0.3em; flex-wrap: wrap }
.label { font-weight: 600; overflow-wrap: anywhere }
.leading { font-size: 0.72em; color: var(--_muted); border: 1px solid currentcolor; border-radius: 1em; padding: 0.05em 0.6em; align-self: center }
@container (inline-size < 24em) {
  .leading { font-size: 0; border: 0; padding: 0 }
  .leading::before { content: '▲'; font-size: 0.7rem }
}
.numbers { margin-inline-start: auto; white-space: nowrap }
.percent { font-weight: 700 }
.count { color: var(--_muted); margin-inline-start: 0.7em }
.track { background: var(--_track); border-radius: var(--_radius); block-size: var(--_height); overflow: hidden; contain: strict }
.bar {
  box-sizing: border-box;
  inline-size: 100%;
  block-size: 100%;
  background: var(--_color);
  border: max(1px, 0.08em) solid color-mix(in srgb, var(--_color) 55%, currentcolor);
  border-radius: var(--_radius);
  transform: translateX(calc((var(--_share) - 1) * 100%));
}
:host(:dir(rtl)) .bar { transform: translateX(calc((1 - var(--_share)) * 100%)) }
.is-moving .bar { transition: transform var(--live-tally-speed, 350ms) cubic-bezier(0.2, 0.7, 0.2, 1) }
.bar.empty { visibility: hidden }
.none { color: var(--_muted); font-size: 1.1em; margin-block-end: var(--_gap) }
.foot { display: flex; flex-wrap: wrap; align-items: center; gap: 0.4em 0.9em; margin-block-start: var(--_gap); color: var(--_muted) }
.badge { display: inline-flex; align-items: center; gap: 0.45em; margin-inline-start: auto; white-space: nowrap }
.badge::before { content: ''; inline-size: 0.6em; block-size: 0.6em; border-radius: 50%; border: 0.14em solid currentcolor; box-sizing: border-box }
.badge[data-kind='live']::before { background: #009e73; border-color: #009e73 }
.badge[data-kind='old'] { color: var(--live-tally-old, inherit); font-weight: 600 }
button {
  font: inherit; color: inherit; background: none; border: 1px solid transparent; border-radius: 0.4em;
  padding: 0.2em 0.45em; margin: -0.2em -0.45em; min-inline-size: 1.9em; min-block-size: 1.9em; cursor: pointer; line-height: 1;
}
button:hover { border-color: currentcolor }
button:focus-visible { outline: 3px solid var(--live-tally-focus, #0072b2); outline-offset: 2px }
svg { inline-size: 0.8em; block-size: 0.8em; fill: currentcolor; display: block; margin: auto }
.spoken { position: absolute; inline-size: 1px; block-size: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap }
@media (prefers-reduced-motion: reduce) { .is-moving .bar { transition: none } }
@media (forced-colors: active) {
  .track { border: 1px solid CanvasText }
  .bar { background: Highlight; border-color: CanvasText }
  .badge::before { forced-color-adjust: none; border-color: CanvasText }
}
`

let sheet: CSSStyleSheet | undefined

/** One sheet for all elements. A style-src policy does not forbid it, since a script builds it. */
export function liveTallyStyle(): CSSStyleSheet {
  if (!sheet) {
    sheet = new CSSStyleSheet()
    sheet.replaceSync(css)
  }
  return sheet
}
