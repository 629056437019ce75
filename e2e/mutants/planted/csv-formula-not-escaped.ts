import type { Mutant } from '../mutant.ts'

export default {
  promise: 'A spreadsheet runs nothing that a poll or a voter wrote.',
  changes: [
    {
      file: 'backend/tallies/export-csv.ts',
      find: `quoted(cell.replaceAll(FORMULA_START, "'"))`,
      replace: 'quoted(cell || String(FORMULA_START).slice(0, 0))',
    },
  ],
  tests: ['backend/tallies/export-csv.test.ts'],
} satisfies Mutant
