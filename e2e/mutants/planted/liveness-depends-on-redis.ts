import type { Mutant } from '../mutant.ts'

export default {
  promise: 'A process is not restarted because Redis is down.',
  changes: [
    {
      file: 'shared/lifecycle/probes.ts',
      find: 'const works = options.loopDelayMs() <= maxLoopDelayMs',
      replace: 'const works = options.loopDelayMs() <= maxLoopDelayMs && options.checks.every((check) => check.read().ok)',
    },
  ],
  tests: ['shared/lifecycle/probes.test.ts'],
} satisfies Mutant
