/* exif.h - the one thing that EXIF says about pixels: which way up they are.
 *
 * Reads the TIFF structure that JPEG's APP1 (behind "Exif\0\0") and PNG's eXIf hold: only the first directory, only its
 * orientation.  Any bytes are safe; what is cut off, lies or makes no sense is orientation 1, as viewers and Pillow
 * have it: a broken hint is no reason to refuse a picture.  Pure; keeps nothing. */
#ifndef MEDIA_EXIF_H
#define MEDIA_EXIF_H
#include "base/str.h"

enum { EXIF_TURNS = 8 };

/* 1 as it is, 2 mirrored, 3 half a turn, 4 upside down, 5 transposed, 6 a quarter to the right is due, 7 transposed the
 * other way, 8 a quarter to the left is due. */
uint32_t exif_orientation(str tiff);

#endif
