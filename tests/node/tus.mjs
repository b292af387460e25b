// Drives tus-js-client as a page or a script would: node tus.mjs '{"endpoint": …, "file": …, "token": …}'.
// Prints one line of JSON: what became of the upload, and every request with its answer.
import { createReadStream } from 'node:fs'
import { PassThrough } from 'node:stream'
import { Upload } from 'tus-js-client'

const given = JSON.parse(process.argv[2])
const seen = []
const headers = { Authorization: `Bearer ${given.token}`, ...(given.headers ?? {}) }

function told(outcome) {
  console.log(JSON.stringify({ ...outcome, seen }))
  process.exit(0)
}

const options = {
  endpoint: given.endpoint,
  uploadUrl: given.url,
  headers,
  metadata: given.metadata ?? { filename: 'claims.csv', filetype: 'text/csv' },
  retryDelays: given.retryDelays ?? null,
  ...(given.options ?? {}),
  onBeforeRequest(request) {
    if (given.checksum && request.getMethod() === 'PATCH') request.setHeader('Upload-Checksum', given.checksum)
  },
  onAfterResponse(request, answer) {
    seen.push([request.getMethod(), answer.getStatus()])
  },
  onError(error) {
    const answer = error.originalResponse
    told({ failed: true, status: answer ? answer.getStatus() : 0, body: answer ? answer.getBody() : String(error) })
  },
  onSuccess() {
    told({ url: upload.url })
  },
  onChunkComplete(size, accepted) {
    if (given.abortAt !== undefined && accepted >= given.abortAt) {
      upload.abort(given.terminate ?? false).then(() => told({ url: upload.url, aborted: accepted }))
    }
  },
}

// Of a file the client looks up the size itself; only a bare stream has one that is not known yet.
const file = createReadStream(given.file)
const upload = new Upload(options.uploadLengthDeferred ? file.pipe(new PassThrough()) : file, options)
upload.start()
