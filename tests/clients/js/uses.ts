// What people who write TypeScript see of JumboUploader: each line is right, or expected not to be.
import { JumboError, type JumboUpload, JumboUploader } from '../../../tusjumbo/web/pages/jumbo.js';

const uploader = new JumboUploader({
  endpoint: '/upload',
  headers: async (upload) => ({ 'X-File': upload.name }),
  shouldRetry: (error, attempt) => error.status === 401 && attempt < 3,
  onProgress: ({ percent }) => console.log(percent),
});
export const one: JumboUpload = uploader.add(new File([], 'a'), { metadata: { album: 7 } });
export const many: JumboUpload[] = uploader.add(document.querySelector('input')?.files ?? []);
export const path: string | null = (await one.done).path;
export const left: number | null = uploader.progress.remaining;
one.addEventListener('progress', (event) => console.log(event));
if (new JumboError({ status: 503 }).passes) new JumboUploader('an id', 5, 7).uploadFile(new Blob());
new JumboUploader({ storage: sessionStorage });

// @ts-expect-error a word that there is not
new JumboUploader({ paralel: 3 });
// @ts-expect-error no file
uploader.add('a.txt');
// @ts-expect-error it may be null
export const wrong: string = (await one.done).path;
