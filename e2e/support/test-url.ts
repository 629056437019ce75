/** Where the test runner put a service. Throws when the test was started without the runner. */
export function testUrl(name: 'TEST_DATABASE_URL' | 'TEST_REDIS_URL'): string {
  const url = process.env[name]
  if (url === undefined || url === '') throw new Error(`${name} is not set: run this test through npm test, which provides it`)
  return url
}
