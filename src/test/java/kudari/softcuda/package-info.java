/** Tests of the GPU in software, and the helper with which other tests run on it. */
package kudari.softcuda;
