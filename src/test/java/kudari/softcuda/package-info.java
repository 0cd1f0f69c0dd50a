/** Tests of the GPU in software, and the helper with which other tests run on it. */
@NullMarked
package kudari.softcuda;

import org.jspecify.annotations.NullMarked;
