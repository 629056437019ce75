import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import type { Browser, Download, Page } from 'playwright-core'
import { launchChromium, openPage } from './chromium.ts'
import { ADMIN_TOKEN, startInstance, type Instance } from './instance.ts'

let browser: Browser
let instance: Instance
before(async () => {
  ;[browser, instance] = await Promise.all([launchChromium(), startInstance()])
})
after(() => Promise.all([browser.close(), instance[Symbol.asyncDispose]()]))

async function signIn(page: Page, token = ADMIN_TOKEN): Promise<void> {
  await page.goto(`${instance.url}/admin`)
  await page.getByLabel('Admin token').fill(token)
  await page.getByRole('button', { name: 'Sign in' }).click()
}

const card = (page: Page, question: string) => page.locator('.poll', { has: page.getByRole('heading', { name: question }) })
const act = (page: Page, action: string, question: string) =>
  page.getByRole('button', { name: `${action}: ${question}`, exact: true }).click()
const said = (page: Page, text: string) => page.locator('#notice', { hasText: text }).waitFor()

async function textOf(download: Promise<Download>): Promise<{ name: string; lines: string[] }> {
  const file = await download
  return {
    name: file.suggestedFilename(),
    lines: readFileSync(await file.path(), 'utf8')
      .trimEnd()
      .split('\r\n'),
  }
}

test('an organiser signs in, makes a poll, runs it and takes the ballots home', async (t) => {
  const page = await openPage(t, browser, { viewport: { width: 1280, height: 900 } })
  await signIn(page)
  await page.getByRole('button', { name: 'New poll' }).click()
  const form = page.getByRole('dialog', { name: 'New poll' })
  await form.getByLabel('Question').fill('Wohin zum Frühstück?')
  assert.equal(await form.getByLabel('Name in links').inputValue(), 'wohin-zum-fruhstuck')
  await form.getByLabel('Name in links').fill('breakfast')
  await form.getByLabel('Option 1', { exact: true }).fill('Café')
  await form.getByLabel('Option 2', { exact: true }).fill('Home')
  await form.getByRole('button', { name: 'Add an option' }).click()
  await form.getByLabel('Option 3', { exact: true }).fill('Bakery')
  await form.getByLabel('Colour of option 3', { exact: true }).fill('#884422')
  await form.getByRole('button', { name: 'Move option 3 up' }).click()
  assert.equal(await form.getByLabel('Colour of option 2', { exact: true }).inputValue(), '#884422')
  await form.getByRole('button', { name: 'Save' }).click()
  await said(page, 'New poll: Wohin zum Frühstück? – done.')

  const created = await instance.read('breakfast')
  assert.deepEqual(
    created.poll.options.map(({ id, label, color }) => [id, label, color]),
    [
      ['cafe', 'Café', undefined],
      ['bakery', 'Bakery', '#884422'],
      ['home', 'Home', undefined],
    ],
  )
  await instance.vote('breakfast', 'cafe', 'cafe', 'home')
  const question = 'Wohin zum Frühstück?'
  await card(page, question).getByText('3 votes').waitFor()

  await act(page, 'Hide results', question)
  await card(page, question).getByText('results hidden').waitFor()
  assert.equal((await instance.read('breakfast')).tally.counts, undefined)
  await act(page, 'Show results', question)
  await page.getByRole('button', { name: `Hide results: ${question}` }).waitFor()

  await act(page, 'Edit', question)
  const edit = page.getByRole('dialog', { name: 'Edit poll' })
  assert.ok(!(await edit.getByLabel('Name in links').isVisible()))
  await edit.getByLabel('Question').fill('Breakfast?')
  await edit.getByLabel('Closes at').fill('2099-12-31T18:00')
  await edit.getByRole('button', { name: 'Save' }).click()
  await card(page, 'Breakfast?').waitFor()
  const edited = await instance.read('breakfast')
  assert.match(edited.poll.closesAt ?? '', /^2099-12-31T/)
  assert.deepEqual(edited.tally.counts, { cafe: 2, bakery: 0, home: 1 }, 'an edit touches no ballot')

  await act(page, 'Close', 'Breakfast?')
  await card(page, 'Breakfast?').getByText('closed', { exact: true }).waitFor()
  const download = textOf(page.waitForEvent('download'))
  await act(page, 'CSV', 'Breakfast?')
  const { name, lines } = await download
  assert.equal(name, 'breakfast.csv')
  assert.deepEqual(lines.slice(0, 4), [
    '\uFEFFkind,option,label,count,cast_at',
    'total,cafe,Café,2,',
    'total,bakery,Bakery,0,',
    'total,home,Home,1,',
  ])
  assert.equal(lines.filter((line) => line.startsWith('ballot,')).length, 3)
  assert.ok(!(await page.getByRole('button', { name: 'Tickets: Breakfast?' }).isVisible()), 'anyone may vote here')
})

test('a reset and a removal ask first, and take a no', async (t) => {
  const page = await openPage(t, browser)
  const options = ['a', 'b'].map((id) => ({ id, label: id }))
  await instance.create({ poll: 'gone', question: 'Gone?', options })
  await instance.vote('gone', 'a')
  await signIn(page)
  const dialog = page.getByRole('alertdialog')
  await act(page, 'Reset', 'Gone?')
  await dialog.getByText('1 vote').waitFor()
  await dialog.getByRole('button', { name: 'Cancel' }).click()
  assert.equal((await instance.read('gone')).tally.total, 1)
  await act(page, 'Reset', 'Gone?')
  await dialog.getByRole('button', { name: 'Reset' }).click()
  await card(page, 'Gone?').getByText('0 votes').waitFor()
  await act(page, 'Delete', 'Gone?')
  await page.keyboard.press('Escape')
  assert.ok(await card(page, 'Gone?').isVisible())
  await act(page, 'Delete', 'Gone?')
  await dialog.getByRole('button', { name: 'Delete' }).click()
  await card(page, 'Gone?').waitFor({ state: 'detached' })
})

test('an option that has votes is removed only after the organiser was told how many, and what becomes of them', async (t) => {
  const page = await openPage(t, browser)
  const options = ['Cats', 'Dogs', 'Owls', 'Bats'].map((label) => ({ id: label.toLowerCase(), label }))
  // the organiser is told the number also where nobody else may see it
  await instance.create({ poll: 'pets', question: 'Pets?', options, visibility: 'after-close' })
  await instance.vote('pets', 'cats', 'cats', 'dogs', 'bats')
  assert.equal((await fetch(`${instance.url}/api/polls/pets/counts`)).status, 401, 'and nobody else is')
  await signIn(page)
  await card(page, 'Pets?').getByText('4 votes').waitFor()
  const form = page.getByRole('dialog', { name: 'Edit poll' })
  const dialog = page.getByRole('alertdialog')

  await act(page, 'Edit', 'Pets?')
  await form.getByRole('button', { name: 'Remove option 3' }).click()
  await form.getByRole('button', { name: 'Save' }).click()
  await said(page, 'Edit poll: Pets? – done.')

  await act(page, 'Edit', 'Pets?')
  await form.getByRole('button', { name: 'Remove option 3' }).click()
  await form.getByRole('button', { name: 'Add an option' }).click()
  await form.getByLabel('Option 3', { exact: true }).fill('Rats')
  await form.getByRole('button', { name: 'Remove option 1' }).click()
  await form.getByRole('button', { name: 'Save' }).click()
  await dialog.getByText('Remove “Cats” (id cats, 2 votes) and “Bats” (id bats, 1 vote)?').waitFor()
  await dialog.getByText('The votes are kept, but no longer counted').waitFor()
  await dialog.getByRole('button', { name: 'Cancel' }).click()
  assert.equal(await form.getByLabel('Option 2', { exact: true }).inputValue(), 'Rats', 'what was written is not lost')
  assert.equal((await instance.read('pets')).tally.total, 4)
  await form.getByRole('button', { name: 'Save' }).click()
  await dialog.getByRole('button', { name: 'Remove and save' }).click()
  await card(page, 'Pets?').getByText('1 vote', { exact: true }).waitFor()

  await act(page, 'Edit', 'Pets?')
  await form.getByRole('button', { name: 'Add an option' }).click()
  await form.getByLabel('Option 3', { exact: true }).fill('Cats')
  await form.getByRole('button', { name: 'Save' }).click()
  await card(page, 'Pets?').getByText('3 votes').waitFor()
})

test('tickets: a link each, which votes once, leaves the address bar, and lets nobody else in', async (t) => {
  const organiser = await openPage(t, browser, { expected: /409/ })
  const options = ['x', 'y'].map((id) => ({ id, label: id.toUpperCase() }))
  await instance.create({ poll: 'members', question: 'Members?', options, policy: 'ticket' })
  await signIn(organiser)
  await act(organiser, 'Tickets', 'Members?')
  await organiser.getByLabel('How many').fill('2')
  const download = textOf(organiser.waitForEvent('download'))
  await organiser.getByRole('button', { name: 'Make and download' }).click()
  const { name, lines } = await download
  assert.equal(name, 'members-tickets.csv')
  assert.equal(lines.length, 3)
  const [, link = ''] = lines
  assert.ok(link.startsWith(`${instance.url}/p/members?ticket=`), link)

  for (const option of ['X', 'Y']) {
    const voter = await openPage(t, browser)
    await voter.goto(link)
    await voter.getByRole('button', { name: option }).click()
    await voter.locator('#receipt', { hasText: `Your vote for ${option} is counted.` }).waitFor()
    assert.equal(voter.url(), `${instance.url}/p/members`)
    await voter.reload()
    await voter.locator('#receipt', { hasText: `Your vote for ${option} is counted.` }).waitFor()
  }
  assert.equal((await instance.read('members')).tally.total, 1, 'one ticket, one ballot')

  const passerBy = await openPage(t, browser)
  await passerBy.goto(`${instance.url}/p/members`)
  await passerBy.getByText('Voting here takes the personal link').waitFor()
  assert.ok(await passerBy.getByRole('button', { name: 'X' }).isDisabled())
})

test('gateways and sockets are shown as they come and go', async (t) => {
  const page = await openPage(t, browser)
  await signIn(page)
  const row = page.locator('#server-rows tr')
  await row.filter({ hasText: /ready\s*0/ }).waitFor()
  const screen = await openPage(t, browser)
  await screen.goto(`${instance.url}/p/cats-or-dogs/results`)
  await row.filter({ hasText: /ready\s*1/ }).waitFor()
  await screen.goto('about:blank')
  await row.filter({ hasText: /ready\s*0/ }).waitFor()
})

test('a gateway that leaves is seen leaving', async (t) => {
  const page = await openPage(t, browser)
  const gateways = [
    { id: 'gateway-b', phase: 'ready', sockets: 1_700 },
    { id: 'gateway-a', phase: 'draining', sockets: 300 },
  ]
  await page.route('**/api/gateways', (route) => route.fulfill({ json: { gateways } }))
  await signIn(page)
  await page.getByText('Gateways: 2 · open sockets: 2,000 · A gateway is leaving; its sockets are moving.').waitFor()
  assert.deepEqual(await page.locator('#server-rows tr').allInnerTexts(), ['gateway-a\tdraining\t300', 'gateway-b\tready\t1,700'])
  gateways.pop()
  await page.getByText('Gateways: 1 · open sockets: 1,700').waitFor()
})

test('while no server answers it says so, and goes on when one does', async (t) => {
  const page = await openPage(t, browser, { expected: /Failed to load resource|ERR_/ })
  await signIn(page)
  await card(page, 'Cats or dogs?').waitFor()
  await page.context().setOffline(true)
  await page.locator('#outage', { hasText: 'The server does not answer at present. Trying again…' }).waitFor()
  await act(page, 'Close', 'Cats or dogs?')
  await said(page, 'The server gave no answer. Try again.')
  await page.context().setOffline(false)
  await instance.vote('cats-or-dogs', 'cats')
  await card(page, 'Cats or dogs?').getByText('1 vote').waitFor()
  assert.equal((await instance.read('cats-or-dogs')).poll.state, 'open', 'what failed is not done later behind the back')
  await act(page, 'Close', 'Cats or dogs?')
  await said(page, 'Close: Cats or dogs? – done.')
  await page.context().setOffline(true)
  await page.locator('#outage', { hasText: 'The server does not answer at present. Trying again…' }).waitFor()
  await page.context().setOffline(false)
  await page.locator('#outage').waitFor({ state: 'hidden' })
})

test('a German organiser gets German', async (t) => {
  const page = await openPage(t, browser, { locale: 'de-DE' })
  await page.goto(`${instance.url}/admin`)
  await page.getByLabel('Admin-Token').fill(ADMIN_TOKEN)
  await page.getByRole('button', { name: 'Anmelden' }).click()
  await page.getByRole('button', { name: 'Neue Umfrage' }).click()
  await page.getByRole('dialog', { name: 'Neue Umfrage' }).getByLabel('Stimmen dürfen geändert werden').waitFor()
  assert.equal(await page.locator('html').getAttribute('lang'), 'de')
})

test('the wrong token is refused, the right one lasts as long as the tab or until signing out', async (t) => {
  const page = await openPage(t, browser, { expected: /401|400/ })
  for (const wrong of ['not-the-token', 'with a blank', 'žeton']) {
    await signIn(page, wrong)
    await said(page, 'That is not the admin token.')
    assert.ok(!(await page.locator('#desk').isVisible()))
  }
  await signIn(page)
  await page.getByRole('button', { name: 'New poll' }).waitFor()
  await page.reload()
  await page.getByRole('button', { name: 'New poll' }).waitFor()
  const other = await page.context().newPage()
  await other.goto(`${instance.url}/admin`)
  await other.getByLabel('Admin token').waitFor()
  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.reload()
  await page.getByLabel('Admin token').waitFor()
  assert.ok(!(await page.evaluate(() => JSON.stringify([localStorage, sessionStorage]))).includes(ADMIN_TOKEN))
  assert.ok(!(await page.context().cookies()).some(({ value }) => value.includes(ADMIN_TOKEN)))
})

test('what the API refuses is told in its words, and the form stays', async (t) => {
  const page = await openPage(t, browser, { expected: /409/ })
  await signIn(page)
  await page.getByRole('button', { name: 'New poll' }).click()
  const form = page.getByRole('dialog', { name: 'New poll' })
  await form.getByLabel('Question').fill('Cats or dogs')
  await form.getByLabel('Option 1', { exact: true }).fill('Cats')
  await form.getByLabel('Option 2', { exact: true }).fill('Dogs')
  await form.getByRole('button', { name: 'Save' }).click()
  await form.getByText('There is a poll "cats-or-dogs" already.').waitFor()
  assert.ok(await form.isVisible())
})

test('a poll whose table is gone says so on the desk, as long as that is so', async (t) => {
  const options = ['x', 'y'].map((id) => ({ id, label: id.toUpperCase() }))
  await instance.create({ poll: 'adopted', question: 'Adopted?', options })
  const page = await openPage(t, browser)
  let isGone = true
  await page.route('**/api/polls', async (route) => {
    const response = await route.fetch()
    const { polls } = (await response.json()) as { polls: { poll: string }[] }
    const sourceGone = (poll: string) => (isGone && poll === 'adopted' ? { sourceGone: true } : {})
    await route.fulfill({ response, json: { polls: polls.map((poll) => ({ ...poll, ...sourceGone(poll.poll) })) } })
  })
  await signIn(page)
  await card(page, 'Adopted?').getByText('its table is gone: last count').waitFor()
  isGone = false
  await card(page, 'Adopted?').getByText('its table is gone: last count').waitFor({ state: 'hidden' })
})
