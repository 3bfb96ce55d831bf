// A picture as predict.py reads it: upright, transparency on white, a large one at a reduced size.

/**
 * Decode a file. The browser turns it upright by its EXIF tag; colour profiles are not applied.
 * @param {Blob} file
 * @param {number} size shorter side in pixels that the model resizes a picture to first
 * @returns {Promise<{data: Uint8Array, height: number, width: number}>} RGB, row by row
 */
export async function readPicture(file, size) {
  const bitmap = await createImageBitmap(file, { colorSpaceConversion: "none" });
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white";
  context.fillRect(0, 0, bitmap.width, bitmap.height);
  context.drawImage(bitmap, 0, 0);
  const pixels = context.getImageData(0, 0, bitmap.width, bitmap.height).data;
  let picture = { data: withoutAlpha(pixels), height: bitmap.height, width: bitmap.width };
  if (await isJpeg(file)) {
    // Pillow decodes a large JPEG at an eighth, a quarter or half of its size.
    const times = Math.floor(Math.min(picture.height, picture.width) / size);
    const factor = [8, 4, 2].find((value) => times >= value) ?? 1;
    picture = reduced(picture, factor, picture.height, picture.width);
  }
  const factor = Math.floor(Math.min(picture.height, picture.width) / size);
  if (factor > 1) {
    const used = (side) => Math.min(side, Math.floor((side + Math.floor(factor / 2)) / factor) * factor);
    picture = reduced(picture, factor, used(picture.height), used(picture.width));
  }
  return picture;
}

function withoutAlpha(rgba) {
  const rgb = new Uint8Array((rgba.length / 4) * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4) {
    rgb[to++] = rgba[from];
    rgb[to++] = rgba[from + 1];
    rgb[to++] = rgba[from + 2];
  }
  return rgb;
}

async function isJpeg(file) {
  const [first, second] = new Uint8Array(await file.slice(0, 2).arrayBuffer());
  return first === 0xff && second === 0xd8;
}

/** Means of squares of `factor` pixels of the upper left part, rounded as Pillow does; those at the edge may be less. */
export function reduced(picture, factor, usedHeight, usedWidth) {
  if (factor === 1) return picture;
  const height = Math.ceil(usedHeight / factor);
  const width = Math.ceil(usedWidth / factor);
  const data = new Uint8Array(height * width * 3);
  for (let row = 0; row < height; row++) {
    const bottom = Math.min(usedHeight, (row + 1) * factor);
    for (let column = 0; column < width; column++) {
      const right = Math.min(usedWidth, (column + 1) * factor);
      const count = (bottom - row * factor) * (right - column * factor);
      // Pillow divides by a whole number of 2^-24, so that a mean may come out one lower.
      const half = Math.floor(count / 2);
      const times = Math.floor(2 ** 24 / count);
      for (let channel = 0; channel < 3; channel++) {
        let sum = 0;
        for (let y = row * factor; y < bottom; y++) {
          for (let x = column * factor; x < right; x++) sum += picture.data[(y * picture.width + x) * 3 + channel];
        }
        data[(row * width + column) * 3 + channel] = Math.floor(((sum + half) * times) / 2 ** 24);
      }
    }
  }
  return { data, height, width };
}
