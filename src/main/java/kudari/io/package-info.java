/**
 * How Kudari writes files, for its own packages: public only because they are several. {@link kudari.io.AtomicFile} replaces a file, {@link
 * kudari.io.AppendFile} lets one grow, {@link kudari.io.Say} puts into words what went wrong.
 */
package kudari.io;
