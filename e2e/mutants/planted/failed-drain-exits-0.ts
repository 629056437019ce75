import type { Mutant } from '../mutant.ts'

export default {
  promise: 'A process whose drain failed says so by its exit code.',
  changes: [
    {
      file: 'shared/lifecycle/service.ts',
      find: "request.kind === 'signal' && report.clean ? 0 : 1",
      replace: "request.kind === 'signal' ? 0 : 1",
    },
  ],
  tests: ['e2e/leaving.test.ts'],
  pattern: 'when a stage hangs',
} satisfies Mutant
