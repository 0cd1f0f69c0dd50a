/**
 * A small network that trains on an engine, for the commands: {@link kudari.nn.Network} computes gradients, an optimizer uses them. It
 * asks of the library what any user can, and needs OpenBLAS on the class path, which the library itself does not.
 */
package kudari.nn;
