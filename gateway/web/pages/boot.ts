/**
 * Loads the module that `<body data-script>` names. When that fails, mostly because the network has gone, the script reloads the
 * page, which would else stay empty: at once when the network returns, otherwise ever more slowly.
 */
import { keep, kept } from './kept.ts'

const COUNTED_UNDER = ':boots'
const LONGEST_MS = 30_000

const failures = Number(kept(COUNTED_UNDER))
try {
  await import(`./${document.body.dataset['script']}.js`)
  keep(COUNTED_UNDER, undefined)
} catch (error) {
  keep(COUNTED_UNDER, String(failures + 1))
  setTimeout(() => location.reload(), Math.min(1_000 * 2 ** failures, LONGEST_MS) * (0.5 + Math.random() / 2))
  globalThis.addEventListener('online', () => location.reload())
  reportError(error)
}
