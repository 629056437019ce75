import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { providePrograms } from './debian.ts'
import { run } from './run.ts'

/** A certificate for `localhost` that signs itself, good for two days; and where its files are. */
export interface Certificate {
  /** The certificate as text, for clients to trust. */
  readonly ca: string
  readonly certificateFile: string
  readonly keyFile: string
  /** Both in one file. */
  readonly bundleFile: string
  [Symbol.asyncDispose](): Promise<void>
}

export async function makeCertificate(): Promise<Certificate> {
  const [openssl = ''] = await providePrograms(['openssl'])
  const directory = await mkdtemp(join(tmpdir(), 'livetally-certificate-'))
  const [certificateFile, keyFile, bundleFile] = ['certificate.pem', 'key.pem', 'bundle.pem'].map((name) =>
    join(directory, name),
  ) as [string, string, string]
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', keyFile]
  const name = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1']
  await run(openssl, ['req', '-x509', '-days', '2', ...key, ...name, '-out', certificateFile])
  const ca = await readFile(certificateFile, 'utf8')
  await writeFile(bundleFile, ca + (await readFile(keyFile, 'utf8')))
  return {
    ca,
    certificateFile,
    keyFile,
    bundleFile,
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }),
  }
}
